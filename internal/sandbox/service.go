package sandbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/google/uuid"
	"k8s.io/utils/clock"

	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/keylock"
	"github.com/opendaytona/daytona/internal/notify"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// ErrSnapshotMoved is Store.InsertSandbox's way to say that the snapshot
// changed its state since it was looked at.
var ErrSnapshotMoved = errors.New("the snapshot has just changed its state")

// Service takes the commands on sandboxes. A command writes what is wanted; the
// controller's jobs make it true.
type Service struct {
	config   Config
	jobs     jobs
	recovery *recovery
	changes  notify.Notifier
	activity activity

	settings keylock.Locks // what gives the engine a sandbox's settings, one at a time
	sizes    keylock.Locks // one resize of it at a time
}

// Config is what a Service stands on.
type Config struct {
	Store           Store
	Controller      *controller.Controller
	Engine          Engine
	Agents          Agents
	Snapshots       Snapshots
	Regions         Regions
	Limits          Limits
	Events          Events
	Secrets         Sealer
	Clock           clock.WithTicker
	Log             *slog.Logger
	DefaultSnapshot string        // used when a create names none
	LimitedEgress   Network       // of the sandboxes that say nothing of the network, where their organization's are limited
	StopGrace       time.Duration // how long a sandbox may take to end by itself
	// HostPaths are kept out of the reasons that users are told.
	HostPaths fault.HostPaths
}

// NewService makes a service; nothing happens to sandboxes until the controller
// runs, and nothing may be asked of them until Resume.
func NewService(c Config) *Service {
	s := &Service{config: c, recovery: newRecovery()}
	s.jobs = s.newJobs()
	c.Snapshots.OnMoved(s.snapshotMoved)
	return s
}

// Create records a new sandbox; the reconciler starts it. An inactive snapshot
// is activated first. Errors: fault of kind Invalid, NotFound (snapshot,
// region), Quota, Conflict (name taken).
func (s *Service) Create(ctx context.Context, organizationID string, p CreateParams) (*Sandbox, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	region := p.Region
	if region == "" {
		var err error
		if region, err = s.config.Regions.DefaultRegion(ctx, organizationID); err != nil {
			return nil, fmt.Errorf("create sandbox: %w", err)
		}
	}
	if err := s.config.Regions.CheckRegion(ctx, organizationID, region); err != nil {
		return nil, err
	}
	sb, err := s.build(p, organizationID, region)
	if err != nil {
		return nil, err
	}
	if err := s.limitEgress(ctx, sb); err != nil {
		return nil, fmt.Errorf("create sandbox: %w", err)
	}
	// The snapshot may change its state between our look and the insertion;
	// the store notices, and we look again.
	for range 3 {
		if err = s.insertFrom(ctx, sb, p); !errors.Is(err, ErrSnapshotMoved) {
			break
		}
	}
	if errors.Is(err, ErrSnapshotMoved) {
		return nil, fault.Conflict("SNAPSHOT_STATE", fmt.Sprintf("Snapshot %q keeps changing its state; try again.", sb.Snapshot))
	}
	if err != nil {
		return nil, fmt.Errorf("create sandbox: %w", err)
	}
	s.config.Events.SandboxCreated(sb)
	if !sb.State.Settled() { // as one claimed from a pool may be
		s.jobs.rows.Add(job(sb))
	}
	return sb, nil
}

// limitEgress gives a sandbox that says nothing of the network the policy of its
// organization.
func (s *Service) limitEgress(ctx context.Context, sb *Sandbox) error {
	if sb.Network.limits() {
		return nil
	}
	limited, err := s.config.Limits.LimitedEgress(ctx, sb.OrganizationID)
	if limited {
		sb.Network = s.config.LimitedEgress
	}
	return err
}

// build makes the sandbox that p describes, but for what its snapshot decides.
func (s *Service) build(p CreateParams, organizationID, region string) (*Sandbox, error) {
	now := s.config.Clock.Now()
	sb := &Sandbox{
		ID:             uuid.NewString(),
		OrganizationID: organizationID,
		Name:           p.Name,
		Region:         region,
		Desired:        DesiredStarted,
		User:           p.User,
		Env:            p.Env,
		Labels:         p.Labels,
		Public:         p.Public,
		AutoStop:       DefaultAutoStop,
		AutoArchive:    DefaultAutoArchive,
		AutoDelete:     NeverDelete,
		CreatedAt:      now,
		UpdatedAt:      now,
		LastActivityAt: now,
	}
	if sb.Name == "" {
		sb.Name = sb.ID
	}
	var err error
	if p.AutoStop != nil {
		if sb.AutoStop, err = minutes("autoStopInterval", *p.AutoStop); err != nil {
			return nil, err
		}
	}
	if p.AutoArchive != nil {
		if sb.AutoArchive, err = archiveAfter(*p.AutoArchive); err != nil {
			return nil, err
		}
	}
	if p.AutoDelete != nil {
		if sb.AutoDelete, err = deleteAfter(*p.AutoDelete); err != nil {
			return nil, err
		}
	}
	if p.TTL != nil && *p.TTL > 0 {
		at := now.Add(time.Duration(*p.TTL) * time.Minute)
		sb.DestroyAt = &at
	}
	if sb.Network, err = parseNetwork(p.NetworkBlockAll, p.NetworkAllowList, p.DomainAllowList); err != nil {
		return nil, err
	}
	return sb, nil
}

// insertFrom lets the snapshot decide the rest of sb and records it.
func (s *Service) insertFrom(ctx context.Context, sb *Sandbox, p CreateParams) error {
	snap, err := s.findSnapshot(ctx, sb, p)
	if err != nil {
		return err
	}
	if snap.State.Failed() || snap.State == snapshot.StateRemoving {
		return fault.Invalid("snapshot", fmt.Sprintf("Snapshot %q is %s and cannot be used: delete it and create it again.", snap.Name, snap.State))
	}
	if snap.State == snapshot.StateInactive {
		activated, err := s.config.Snapshots.Activate(ctx, sb.OrganizationID, snap.ID)
		if fault.Is(err, fault.KindInvalid) {
			return ErrSnapshotMoved // somebody else was quicker
		}
		if err != nil {
			return err
		}
		snap = activated
	}
	sb.SnapshotID, sb.Snapshot = snap.ID, snap.Name
	sb.Resources = Resources(snap.Resources)
	if p.Build != nil {
		sb.Resources = p.resources(sb.Resources)
	}
	if snap.State == snapshot.StateActive {
		if p.User != "" {
			if err := s.config.Snapshots.CheckUser(ctx, snap, p.User); err != nil {
				return err
			}
		}
		sb.State = StateCreating
		sb.standOn(snap)
	} else if p.Build != nil {
		sb.State = StatePendingBuild
	} else {
		sb.State = StatePulling
	}
	if sb.State == StateCreating && p.Build == nil {
		claimed, err := s.claim(ctx, sb)
		if err != nil {
			return err
		}
		if claimed != nil {
			*sb = *claimed
			return s.config.Snapshots.Used(ctx, snap)
		}
	}
	allow, err := s.config.Limits.CheckSandbox(sb.Resources)
	if err != nil {
		return err
	}
	if err := s.config.Store.InsertSandbox(ctx, sb, allow); err != nil {
		return err
	}
	return s.config.Snapshots.Used(ctx, snap)
}

// standOn takes over what only an active snapshot knows.
func (s *Sandbox) standOn(snap *snapshot.Snapshot) {
	s.ImageDigest, s.Entrypoint = snap.ImageDigest, snap.Entrypoint
	if s.User == "" {
		s.User = snap.User
	}
}

func (s *Service) findSnapshot(ctx context.Context, sb *Sandbox, p CreateParams) (*snapshot.Snapshot, error) {
	if p.Build != nil {
		return s.config.Snapshots.ForBuild(ctx, sb.OrganizationID, sb.Region, *p.Build)
	}
	if p.Snapshot != "" {
		return s.config.Snapshots.Get(ctx, sb.OrganizationID, p.Snapshot)
	}
	snap, err := s.config.Snapshots.Default(ctx, sb.OrganizationID, s.config.DefaultSnapshot)
	if fault.Is(err, fault.KindNotFound) {
		return nil, fault.Invalid("snapshot", fmt.Sprintf("The default snapshot %q does not exist yet: name another snapshot, or create one with that name.", s.config.DefaultSnapshot))
	}
	return snap, err
}

// Get finds by id or name. Errors: fault of kind NotFound.
func (s *Service) Get(ctx context.Context, organizationID, idOrName string) (*Sandbox, error) {
	sb, err := s.config.Store.FindSandbox(ctx, organizationID, idOrName)
	if err == nil {
		s.activity.refresh(sb)
	}
	return sb, err
}

// Find finds by id whoever's it is, for those that hold another credential than
// a key. Errors: fault of kind NotFound, also for one that waits in a pool or is
// being deleted.
func (s *Service) Find(ctx context.Context, id string) (*Sandbox, error) {
	sb, err := s.config.Store.Sandbox(ctx, id)
	if err == nil && (sb.WarmPoolID != "" || sb.Desired == DesiredDestroyed) {
		return nil, fault.NotFound("SANDBOX_NOT_FOUND", fmt.Sprintf("Sandbox %q does not exist.", id))
	}
	return sb, err
}

// List returns one page by cursor.
func (s *Service) List(ctx context.Context, f Filter) ([]*Sandbox, string, error) {
	page, next, err := s.config.Store.ListSandboxes(ctx, f)
	s.activity.refresh(page...)
	return page, next, err
}

// Page returns one page by number, and the total.
func (s *Service) Page(ctx context.Context, f Filter, page int) ([]*Sandbox, int, error) {
	items, total, err := s.config.Store.PageSandboxes(ctx, f, page)
	s.activity.refresh(items...)
	return items, total, err
}

// Start asks for a stopped sandbox to run again; one that runs is fine. Errors:
// fault of kind NotFound; Conflict while it is stopping or going away.
func (s *Service) Start(ctx context.Context, organizationID, idOrName string) (*Sandbox, error) {
	return s.askBy(ctx, organizationID, idOrName, DesiredStarted, s.config.Store.ResizeSandbox, func(sb *Sandbox, others Usage) (State, error) {
		switch sb.State {
		case StateStarted, StateStarting, StateCreating, StatePulling, StatePendingBuild, StateBuilding:
			return sb.State, nil
		case StateError:
			return s.startAnew(sb, others)
		case StateStopped:
			return StateStarting, s.allowStart(sb, others)
		}
		return "", fault.Conflict("SANDBOX_STATE", fmt.Sprintf("Sandbox %s is %s: wait until it is stopped, then start it.", sb.Name, sb.State))
	})
}

// startAnew starts one in error from where it stands.
func (s *Service) startAnew(sb *Sandbox, others Usage) (State, error) {
	if sb.ImageDigest == "" {
		return StatePulling, s.allowStart(sb, others)
	}
	return StateStarting, s.allowStart(sb, others)
}

// Recover asks for a sandbox in error to run again or, with skipStart, to be
// stopped. Errors: fault of kind NotFound; Invalid for one that is not in error, or
// that no start may mend.
func (s *Service) Recover(ctx context.Context, organizationID, idOrName string, skipStart bool) (*Sandbox, error) {
	desired, write := DesiredStarted, s.config.Store.ResizeSandbox
	if skipStart {
		desired, write = DesiredStopped, s.alone
	}
	return s.askBy(ctx, organizationID, idOrName, desired, write, func(sb *Sandbox, others Usage) (State, error) {
		switch {
		case sb.State != StateError:
			return "", fault.Invalid("", fmt.Sprintf("Sandbox %s is %s, not in error: there is nothing to recover.", sb.Name, sb.State))
		case !sb.Recoverable:
			return "", fault.Invalid("", "Sandbox is not in a recoverable state: "+sb.ErrorReason)
		case skipStart:
			return StateStopping, nil
		}
		return s.startAnew(sb, others)
	})
}

// allowStart fails with a quota fault when the cores and the memory of one that
// does not run are not free any more. Its disk is counted already.
func (s *Service) allowStart(sb *Sandbox, others Usage) error {
	allow, err := s.config.Limits.CheckSandbox(Resources{CPU: sb.Resources.CPU, Memory: sb.Resources.Memory})
	if err != nil {
		return err
	}
	others.Disk = 0
	return allow(others)
}

// Stop asks for a sandbox to end, at once with force; its disk stays, unless it
// is ephemeral. One that is stopped is fine. Errors: fault of kind NotFound;
// Conflict while it is starting or going away.
func (s *Service) Stop(ctx context.Context, organizationID, idOrName string, force bool) (*Sandbox, error) {
	sb, err := s.Get(ctx, organizationID, idOrName)
	if err != nil {
		return nil, err
	}
	sb, err = s.ask(ctx, organizationID, sb.ID, DesiredStopped, stopping)
	if err == nil && force && sb.State == StateStopping {
		s.jobs.kills.Add(job(sb))
	}
	return sb, err
}

func stopping(sb *Sandbox) (State, error) {
	switch sb.State {
	case StateStopped, StateStopping:
		return sb.State, nil
	case StateStarted, StateError:
		return StateStopping, nil
	}
	return "", fault.Conflict("SANDBOX_STATE", fmt.Sprintf("Sandbox %s is %s: wait until it is started, then stop it.", sb.Name, sb.State))
}

// Delete asks for a sandbox to go, whatever its state. Errors: fault of kind
// NotFound.
func (s *Service) Delete(ctx context.Context, organizationID, idOrName string) (*Sandbox, error) {
	starting := false
	sb, err := s.ask(ctx, organizationID, idOrName, DesiredDestroyed, func(sb *Sandbox) (State, error) {
		starting = sb.starts()
		return StateDestroying, nil
	})
	if err != nil {
		return nil, err
	}
	if starting {
		s.jobs.rows.Restart(job(sb))
	}
	return sb, nil
}

// starts reports whether the sandbox is being started, which is not waited for
// when it is to go.
func (s *Sandbox) starts() bool { return s.State == StateCreating || s.State == StateStarting }

// ask writes what is desired, and the state that leads there, in one
// transaction.
func (s *Service) ask(ctx context.Context, organizationID, idOrName string, want Desired, via func(*Sandbox) (State, error)) (*Sandbox, error) {
	return s.askBy(ctx, organizationID, idOrName, want, s.alone, func(sb *Sandbox, _ Usage) (State, error) { return via(sb) })
}

// askBy is ask with a choice of how the row is written.
func (s *Service) askBy(ctx context.Context, organizationID, idOrName string, want Desired, write writer, via func(sb *Sandbox, others Usage) (State, error)) (*Sandbox, error) {
	found, err := s.Get(ctx, organizationID, idOrName)
	if err != nil {
		return nil, err
	}
	if err := s.recovered(ctx, found.ID); err != nil {
		return nil, err
	}
	return s.updateBy(ctx, found.ID, write, func(sb *Sandbox, others Usage) error {
		if sb.Desired == DesiredDestroyed && want != DesiredDestroyed {
			return fault.Conflict("SANDBOX_STATE", fmt.Sprintf("Sandbox %s is being deleted.", sb.Name))
		}
		next, err := via(sb, others)
		if err != nil {
			return err
		}
		sb.Desired = want
		if next == sb.State {
			return nil
		}
		return sb.enter(next, "", s.config.Clock.Now())
	})
}

// Settle waits until the sandbox's state stays, or it has gone, or ctx ends,
// and returns what is there then. Running out of time is no error.
func (s *Service) Settle(ctx context.Context, sb *Sandbox) (*Sandbox, error) {
	latest := sb
	err := s.changes.Wait(ctx, sb.ID, func(ctx context.Context) (bool, error) {
		now, err := s.config.Store.Sandbox(ctx, sb.ID)
		if fault.Is(err, fault.KindNotFound) {
			gone := *latest
			gone.State = StateDestroyed
			latest = &gone
			return true, nil
		}
		if err != nil {
			return false, err
		}
		latest = now
		return now.State.Settled(), nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return latest, nil
	}
	return latest, err
}

// SetLabels replaces all labels.
func (s *Service) SetLabels(ctx context.Context, organizationID, idOrName string, labels map[string]string) (*Sandbox, error) {
	if err := validateLabels(labels); err != nil {
		return nil, err
	}
	return s.edit(ctx, organizationID, idOrName, func(sb *Sandbox) error {
		sb.Labels = maps.Clone(labels)
		return nil
	})
}

// SetPublic lets everyone see the sandbox's previews, or nobody without a token.
func (s *Service) SetPublic(ctx context.Context, organizationID, idOrName string, public bool) (*Sandbox, error) {
	return s.edit(ctx, organizationID, idOrName, func(sb *Sandbox) error {
		sb.Public = public
		return nil
	})
}

// RotateSigningKey replaces what the sandbox's signing key is derived from.
func (s *Service) RotateSigningKey(ctx context.Context, organizationID, idOrName string) (*Sandbox, error) {
	return s.edit(ctx, organizationID, idOrName, func(sb *Sandbox) error {
		sb.SigningSalt = rand.Text()
		return nil
	})
}

// SetAutoStop sets after how many minutes without activity it stops; 0 is never.
func (s *Service) SetAutoStop(ctx context.Context, organizationID, idOrName string, n int) (*Sandbox, error) {
	d, err := minutes("autoStopInterval", n)
	if err != nil {
		return nil, err
	}
	return s.edit(ctx, organizationID, idOrName, func(sb *Sandbox) error { sb.AutoStop = d; return nil })
}

// SetAutoArchive sets how many minutes after its stop it is archived; 0 is the
// longest there is.
func (s *Service) SetAutoArchive(ctx context.Context, organizationID, idOrName string, n int) (*Sandbox, error) {
	d, err := archiveAfter(n)
	if err != nil {
		return nil, err
	}
	return s.edit(ctx, organizationID, idOrName, func(sb *Sandbox) error { sb.AutoArchive = d; return nil })
}

// SetAutoDelete sets how many minutes after its stop it is deleted; 0 is at
// once, negative is never.
func (s *Service) SetAutoDelete(ctx context.Context, organizationID, idOrName string, n int) (*Sandbox, error) {
	d, err := deleteAfter(n)
	if err != nil {
		return nil, err
	}
	return s.edit(ctx, organizationID, idOrName, func(sb *Sandbox) error { sb.AutoDelete = d; return nil })
}

// SetTTL sets how many minutes from now it is destroyed, whatever its state; 0
// is never.
func (s *Service) SetTTL(ctx context.Context, organizationID, idOrName string, n int) (*Sandbox, error) {
	d, err := minutes("ttlMinutes", n)
	if err != nil {
		return nil, err
	}
	return s.edit(ctx, organizationID, idOrName, func(sb *Sandbox) error {
		sb.DestroyAt = nil
		if d > 0 {
			at := sb.CreatedAt.Add(d)
			sb.DestroyAt = &at
		}
		return nil
	})
}

func (s *Service) edit(ctx context.Context, organizationID, idOrName string, change func(*Sandbox) error) (*Sandbox, error) {
	found, err := s.Get(ctx, organizationID, idOrName)
	if err != nil {
		return nil, err
	}
	if err := s.recovered(ctx, found.ID); err != nil {
		return nil, err
	}
	sb, err := s.update(ctx, found.ID, func(sb *Sandbox) error {
		sb.UpdatedAt = s.config.Clock.Now()
		return change(sb)
	})
	if err == nil {
		s.note(ctx, sb)
	}
	return sb, err
}

// update changes a sandbox in one transaction, tells everyone what that moved,
// and adds the jobs of what is to be done for it.
func (s *Service) update(ctx context.Context, id string, change func(*Sandbox) error) (*Sandbox, error) {
	return s.updateBy(ctx, id, s.alone, func(sb *Sandbox, _ Usage) error { return change(sb) })
}

// writer changes a row, knowing what the organization's other sandboxes take.
type writer func(ctx context.Context, id string, change func(sb *Sandbox, others Usage) error) (*Sandbox, error)

// alone is the writer for changes that depend on no other sandbox.
func (s *Service) alone(ctx context.Context, id string, change func(sb *Sandbox, others Usage) error) (*Sandbox, error) {
	return s.config.Store.UpdateSandbox(ctx, id, func(sb *Sandbox) error { return change(sb, Usage{}) })
}

// updateBy is update with a choice of how the row is written.
func (s *Service) updateBy(ctx context.Context, id string, write writer, change func(sb *Sandbox, others Usage) error) (*Sandbox, error) {
	var old Sandbox
	sb, err := write(ctx, id, func(sb *Sandbox, others Usage) error {
		old = *sb
		err := change(sb, others)
		sb.ErrorReason = s.config.HostPaths.Hide(sb.ErrorReason)
		return err
	})
	if err != nil {
		return nil, err
	}
	moved := sb.State != old.State
	switch {
	case sb.WarmPoolID != "" && moved:
		s.config.Log.Debug("warm sandbox state", "sandbox", id, "from", old.State, "to", sb.State, "reason", sb.ErrorReason)
		s.changes.Signal(id)
		s.jobs.pools.Add(pool(sb.WarmPoolID, sb.OrganizationID))
	case sb.WarmPoolID != "":
		return sb, nil
	case moved:
		s.config.Log.Info("sandbox state", "sandbox", id, "from", old.State, "to", sb.State, "reason", sb.ErrorReason)
		s.config.Events.SandboxStateChanged(sb, old.State)
		s.changes.Signal(id)
	}
	if sb.Desired != old.Desired && sb.WarmPoolID == "" { // whose event has the state too
		s.config.Events.SandboxDesiredStateChanged(sb, old.Desired)
	}
	if moved || sb.Desired != old.Desired {
		s.jobs.rows.Add(job(sb))
	}
	if moved && sb.State == StateStarted {
		s.addChanges(sb)
	}
	return sb, nil
}
