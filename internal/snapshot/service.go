package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"k8s.io/utils/clock"

	"github.com/opendaytona/daytona/internal/buildlog"
	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/keylock"
	"github.com/opendaytona/daytona/internal/notify"
	"github.com/opendaytona/daytona/internal/oci"
)

// Service takes the commands on snapshots. A command writes what is wanted; the
// controller's jobs make it true.
type Service struct {
	config    Config
	jobs      jobs
	changes   notify.Notifier
	custody   custody
	equal     keylock.Locks // of equal builds, by their ref
	recovered chan struct{} // closed when the rows are resumed
	onMoved   []func(s *Snapshot)
}

// Config is what a Service stands on.
type Config struct {
	Store      Store
	Controller *controller.Controller
	Images     Images
	Builder    Builder
	Captures   Captures
	Regions    Regions
	Limits     Limits
	Events     Events
	Logs       *buildlog.Logs
	Clock      clock.WithTicker
	Log        *slog.Logger
	Builds     int // builds at once
	// HostPaths are kept out of the reasons that users are told.
	HostPaths fault.HostPaths
}

// NewService makes a service; nothing happens to snapshots until the controller
// runs.
func NewService(c Config) *Service {
	s := &Service{config: c, recovered: make(chan struct{})}
	s.custody = custody{store: c.Store, images: c.Images}
	s.jobs = s.newJobs()
	return s
}

// OnMoved registers f to be called each time a snapshot has changed its state.
// Call it before Run; f must not block.
func (s *Service) OnMoved(f func(*Snapshot)) { s.onMoved = append(s.onMoved, f) }

// Create records a new snapshot in state pending; the reconciler brings its
// image. Errors: fault of kind Invalid, NotFound (region), Quota, Conflict
// (name taken).
func (s *Service) Create(ctx context.Context, organizationID string, general bool, p CreateParams) (*Snapshot, error) {
	if err := p.validate(s.config.Images); err != nil {
		return nil, err
	}
	region := p.RegionID
	if region == "" {
		var err error
		if region, err = s.config.Regions.DefaultRegion(ctx, organizationID); err != nil {
			return nil, fmt.Errorf("create snapshot %q: %w", p.Name, err)
		}
	}
	if err := s.config.Regions.CheckRegion(ctx, organizationID, region); err != nil {
		return nil, err
	}
	resources := p.resources()
	allow := func(int) error { return nil }
	if !general && !p.transient {
		var err error
		if allow, err = s.config.Limits.CheckSnapshot(resources); err != nil {
			return nil, err
		}
	}
	now, id := s.config.Clock.Now(), uuid.NewString()
	snap := &Snapshot{
		ID:             id,
		OrganizationID: organizationID,
		General:        general,
		Name:           p.Name,
		Content: Content{
			Revision:   id,
			ImageName:  p.ImageName,
			State:      StatePending,
			RegionIDs:  []string{region},
			Resources:  resources,
			Entrypoint: p.Entrypoint,

			EntrypointGiven: len(p.Entrypoint) > 0,
		},
		Transient: p.transient,
		CreatedAt: now,
		UpdatedAt: now,
	}
	if snap.Build = p.build; p.Build != nil && p.build == nil {
		var err error
		if snap.Build, err = s.newBuild(ctx, organizationID, *p.Build); err != nil {
			return nil, fmt.Errorf("create snapshot %q: %w", p.Name, err)
		}
	}
	if err := s.config.Store.InsertSnapshot(ctx, snap, allow); err != nil {
		return nil, fmt.Errorf("create snapshot %q: %w", p.Name, err)
	}
	s.config.Events.SnapshotCreated(snap)
	s.jobs.rows.Add(step(snap))
	return snap, nil
}

// Get finds by id or name among the organization's own and the general ones.
// Errors: fault of kind NotFound.
func (s *Service) Get(ctx context.Context, organizationID, idOrName string) (*Snapshot, error) {
	return s.config.Store.FindSnapshot(ctx, organizationID, idOrName)
}

// Named finds by name, each as Get does; those that are missing are left out.
func (s *Service) Named(ctx context.Context, organizationID string, names []string) (map[string]*Snapshot, error) {
	return s.config.Store.NamedSnapshots(ctx, organizationID, names)
}

// Default finds by name what the organization's sandboxes are made of that name
// no snapshot. Errors: fault of kind NotFound.
func (s *Service) Default(ctx context.Context, organizationID, name string) (*Snapshot, error) {
	return s.config.Store.FindDefault(ctx, organizationID, name)
}

// CheckUser fails with fault.KindInvalid when the image of an active snapshot has
// no such user[:group], with which no command of a sandbox could be run.
func (s *Service) CheckUser(ctx context.Context, snap *Snapshot, user string) error {
	files, err := s.config.Images.Contents(ctx, snap.ImageDigest)
	if errors.Is(err, oci.ErrNotFound) {
		return nil // it is active no more, which the caller finds out
	}
	if err != nil {
		return fmt.Errorf("look for user %q: %w", user, err)
	}
	missing, err := files.Lacks(user)
	if err != nil {
		return fmt.Errorf("look for user %q: %w", user, err)
	}
	if missing != "" {
		return fault.Invalid("user", fmt.Sprintf(
			"The image of snapshot %q has no %s: name one of its /etc/passwd and /etc/group, or a number, or add it to the image.", snap.Name, missing))
	}
	return nil
}

// List returns one page and the total.
func (s *Service) List(ctx context.Context, f Filter) ([]*Snapshot, int, error) {
	return s.config.Store.ListSnapshots(ctx, f)
}

// Activate brings an inactive snapshot back. Errors: fault of kind NotFound;
// Invalid when it is active already or in any state but inactive.
func (s *Service) Activate(ctx context.Context, organizationID, idOrName string) (*Snapshot, error) {
	snap, err := s.Get(ctx, organizationID, idOrName)
	if err != nil {
		return nil, err
	}
	return s.move(ctx, snap.ID, StatePending, "", func(now *Snapshot) error {
		switch now.State {
		case StateInactive:
			return nil
		case StateActive:
			return fault.Invalid("", fmt.Sprintf("Snapshot %q is already active.", now.Name))
		default:
			return fault.Invalid("", fmt.Sprintf("Snapshot %q is %s; only an inactive snapshot can be activated.", now.Name, now.State))
		}
	})
}

// Deactivate frees the snapshot's image; sandboxes made from it keep running.
// Repeating it is fine. Errors: fault of kind NotFound; Forbidden for a general
// snapshot unless admin; Conflict while it is being made.
func (s *Service) Deactivate(ctx context.Context, organizationID, idOrName string, admin bool) error {
	snap, err := s.owned(ctx, organizationID, idOrName, admin)
	if err != nil || snap.State == StateInactive {
		return err
	}
	_, err = s.move(ctx, snap.ID, StateInactive, "", nil)
	return err
}

// Delete removes the snapshot, whatever its state; sandboxes made from it keep
// running and its name is free at once. Errors: fault of kind NotFound;
// Forbidden for a general snapshot unless admin, who must name it: clients that
// delete all that a list has, an organization's own in their minds, do it by id.
func (s *Service) Delete(ctx context.Context, organizationID, idOrName string, admin bool) error {
	snap, err := s.owned(ctx, organizationID, idOrName, admin)
	if err != nil || snap.State == StateRemoving {
		return err
	}
	if snap.General && idOrName == snap.ID {
		return fault.Forbidden("SNAPSHOT_GENERAL", fmt.Sprintf("Snapshot %s is shared by all organizations and is deleted by its name only: daytona snapshot delete %s, or DELETE /api/snapshots/%s.", snap.Name, snap.Name, snap.Name))
	}
	if _, err = s.move(ctx, snap.ID, StateRemoving, "", nil); err != nil {
		return err
	}
	s.cancelMaking(snap.Revision)
	return nil
}

// owned finds a snapshot that the caller may change.
func (s *Service) owned(ctx context.Context, organizationID, idOrName string, admin bool) (*Snapshot, error) {
	snap, err := s.Get(ctx, organizationID, idOrName)
	if err != nil {
		return nil, err
	}
	if snap.General && !admin {
		return nil, fault.Forbidden("SNAPSHOT_GENERAL", fmt.Sprintf("Snapshot %q is shared by all organizations; only an administrator can change it.", snap.Name))
	}
	return snap, nil
}

// Settle waits until the snapshot's state stays and no update of it goes on, or
// it has gone, or ctx ends, and returns what is there then. Running out of time
// is no error.
func (s *Service) Settle(ctx context.Context, snap *Snapshot) (*Snapshot, error) {
	latest := snap
	err := s.changes.Wait(ctx, snap.ID, func(ctx context.Context) (bool, error) {
		now, err := s.config.Store.Snapshot(ctx, snap.ID)
		if err != nil {
			return false, err
		}
		latest = now
		return now.State.Settled() && (now.Next == nil || now.Next.State.Settled()), nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return latest, nil
	}
	return latest, err
}

// usedGrain is how exact LastUsedAt is: what reads it counts in days, and a
// write for every create would cost each of them a millisecond.
const usedGrain = time.Minute

// Used records that a sandbox was made from the snapshot, as it was read before.
func (s *Service) Used(ctx context.Context, snap *Snapshot) error {
	now := s.config.Clock.Now()
	if last := snap.LastUsedAt; last != nil && now.Sub(*last) < usedGrain && !now.Before(*last) {
		return nil
	}
	return s.config.Store.TouchSnapshot(ctx, snap.ID, now)
}

// FreeImage has an image let go that was kept for sandboxes only, once none stands
// on it any more. It is to be called after a removal.
func (s *Service) FreeImage(digest string) { s.jobs.releases.Add(controller.Job{Key: digest}) }

// KeepImage holds an image for the sandboxes that stand on it, one of which has
// just got its row back.
func (s *Service) KeepImage(ctx context.Context, digest string) error {
	return s.custody.keep(ctx, digest)
}

// move applies one transition in one transaction, provided that check allows
// it, and tells everyone.
func (s *Service) move(ctx context.Context, id string, next State, reason string, check func(*Snapshot) error) (*Snapshot, error) {
	var old State
	told := s.config.HostPaths.Hide(reason)
	snap, err := s.config.Store.UpdateSnapshot(ctx, id, func(snap *Snapshot) error {
		if check != nil {
			if err := check(snap); err != nil {
				return err
			}
		}
		old = snap.State
		return snap.enter(next, told, s.config.Clock.Now())
	})
	if err != nil {
		return nil, fmt.Errorf("move snapshot %s to %s: %w", id, next, err)
	}
	s.config.Log.Info("snapshot state", "snapshot", snap.Name, "id", id, "from", old, "to", next, "reason", reason)
	s.jobs.rows.Add(step(snap))
	if snap.Replaces == "" {
		s.tell(snap, old)
		return snap, nil
	}
	// People know the snapshot that is updated, not this one.
	named, err := s.config.Store.Snapshot(ctx, snap.Replaces)
	if err == nil {
		s.tell(named, named.State)
	}
	return snap, ignoreOvertaken(err)
}

// tell tells everyone that a snapshot has changed.
func (s *Service) tell(snap *Snapshot, old State) {
	s.config.Events.SnapshotStateChanged(snap, old)
	s.changes.Signal(snap.ID)
	for _, f := range s.onMoved {
		f(snap)
	}
}
