package sandbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// Run resumes the sandboxes, learns of those that end by themselves, and lets the
// clocks stop and delete, until ctx ends. The sandboxes run on.
func (s *Service) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Resume(ctx) }) // which fails with ctx only
	wg.Go(func() { s.watchEngine(ctx) })
	wg.Go(func() { s.clockLoop(ctx) })
	wg.Wait()
	// The last of the activity is written although ctx has ended.
	return s.flushActivity(context.WithoutCancel(ctx))
}

// reconcile is the job that takes one sandbox a step towards what its row says. It
// may be repeated after any crash.
func (s *Service) reconcile(ctx context.Context, t *controller.Task) error {
	if s.recovery.postpone(t.Key) {
		return nil
	}
	// A start gives the sandbox what the row says now, and nothing else does
	// meanwhile.
	unlock, err := s.settings.Lock(ctx, t.Key)
	if err != nil {
		return err
	}
	unlock = sync.OnceFunc(unlock)
	defer unlock()
	sb, err := s.config.Store.Sandbox(ctx, t.Key)
	if fault.Is(err, fault.KindNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if sb.State == StateCreating || sb.State == StateStarting {
		return s.stepStart(ctx, sb)
	}
	unlock()
	switch sb.State {
	case StatePulling, StatePendingBuild, StateBuilding:
		return s.stepPulling(ctx, sb)
	case StateStopping:
		return s.stepStop(ctx, sb)
	case StateSnapshotting:
		return s.stepSnapshotting(ctx, sb)
	case StateStopped:
		if sb.Ephemeral() && sb.Desired != DesiredDestroyed {
			_, err := s.Delete(ctx, sb.OrganizationID, sb.ID)
			return ignoreOvertaken(err)
		}
	case StateDestroying:
		return s.stepDestroy(ctx, sb)
	}
	return nil
}

// stepPulling goes on when the snapshot has; snapshotMoved adds the job again.
func (s *Service) stepPulling(ctx context.Context, sb *Sandbox) error {
	snap, err := s.config.Snapshots.Get(ctx, sb.OrganizationID, sb.SnapshotID)
	if err != nil && !fault.Is(err, fault.KindNotFound) {
		return err
	}
	var wrongUser error
	if snap != nil && snap.State == snapshot.StateActive && sb.User != "" {
		wrongUser = s.config.Snapshots.CheckUser(ctx, snap, sb.User)
		if wrongUser != nil && !fault.Is(wrongUser, fault.KindInvalid) {
			return wrongUser
		}
	}
	return s.apply(ctx, sb.ID, func(now *Sandbox) error {
		switch {
		case snap == nil:
			return now.enter(StateError, fmt.Sprintf("Snapshot %q was deleted before the sandbox started.", now.Snapshot), s.config.Clock.Now())
		case wrongUser != nil:
			return now.enter(StateError, wrongUser.Error(), s.config.Clock.Now())
		case snap.State == snapshot.StateActive:
			now.standOn(snap)
			return now.enter(StateCreating, "", s.config.Clock.Now())
		case snap.State == snapshot.StateBuilding && now.State == StatePendingBuild:
			return now.enter(StateBuilding, "", s.config.Clock.Now())
		case snap.State == snapshot.StateBuildFailed && now.State != StatePulling:
			return now.enter(StateBuildFailed, snap.ErrorReason, s.config.Clock.Now())
		case snap.State.Settled():
			return now.enter(StateError, fmt.Sprintf("Snapshot %q is %s: %s", now.Snapshot, snap.State, snap.ErrorReason), s.config.Clock.Now())
		}
		return nil
	})
}

// snapshotMoved adds the jobs of what waits for the snapshot.
func (s *Service) snapshotMoved(snap *snapshot.Snapshot) {
	if snap.SourceSandboxID != "" && snap.State != snapshot.StateSnapshotting {
		s.jobs.rows.Add(controller.Job{Key: snap.SourceSandboxID, Tenant: snap.OrganizationID})
	}
	s.jobs.snapshots.Add(controller.Job{Key: movedKey(snap), Tenant: snap.OrganizationID})
}

// movedKey is the key of jobs for a snapshot: its id and name.
func movedKey(snap *snapshot.Snapshot) string { return snap.ID + "/" + snap.Name }

// wake is the job that adds those of the sandboxes that wait for a snapshot, and
// of the pools that are made of it.
func (s *Service) wake(ctx context.Context, t *controller.Task) error {
	id, name, _ := strings.Cut(t.Key, "/")
	pools, err := s.config.Store.WarmPools(ctx, "")
	if err != nil {
		return fmt.Errorf("find the warm pools of snapshot %s: %w", name, err)
	}
	for _, p := range pools {
		if p.Snapshot == name {
			s.jobs.pools.Add(pool(p.ID, p.OrganizationID))
		}
	}
	those, err := s.config.Store.SandboxesOfSnapshot(ctx, id, waiting...)
	if err != nil {
		return fmt.Errorf("find the sandboxes that wait for snapshot %s: %w", name, err)
	}
	for _, sb := range those {
		s.jobs.rows.Add(job(sb))
	}
	return nil
}

// errEnvLost keeps a sandbox from starting without what its programs need.
var errEnvLost = errors.New("its variables do not open with this encryption key")

const envLost = "The variables of the sandbox were encrypted with another key: the server's administrator can give it back the earlier encryption-key."

// stepStart makes the disk where there is none and starts the sandbox. A
// failure is the sandbox's state, not an error to repeat: its owner decides.
func (s *Service) stepStart(ctx context.Context, sb *Sandbox) error {
	spec := sb.spec()
	spec.Record = s.record(sb)
	var err error
	if sb.EnvLost {
		err = errEnvLost
	}
	if err == nil {
		err = s.config.Engine.Create(ctx, spec)
	}
	if err == nil {
		err = s.config.Engine.Start(ctx, spec)
	}
	// One that ran already has what it had. Its size has a job for that.
	if err == nil && sb.NetworkGeneration.pending() {
		err = s.setNetwork(ctx, sb)
	}
	if err == nil && sb.Claimed {
		err = s.config.Agents.Configure(ctx, sb.ID, spec.Hostname, sb.Env)
	}
	if err != nil && ctx.Err() != nil {
		// A removal has added the job again; a server that stops resumes it.
		return nil
	}
	if err != nil {
		s.config.Log.Error("start sandbox", "sandbox", sb.ID, "err", err)
		// It may run for all that, without its network policy or uncounted.
		if stopErr := s.config.Engine.Stop(ctx, sb.ID, 0); stopErr != nil && !errors.Is(stopErr, engine.ErrNotFound) {
			return errors.Join(err, fmt.Errorf("stop what did not start as it should: %w", stopErr))
		}
		return s.apply(ctx, sb.ID, func(now *Sandbox) error {
			return now.enter(StateError, reasonOf(err), s.config.Clock.Now())
		})
	}
	// What was changed meanwhile is a later generation, which has its own job.
	return s.apply(ctx, sb.ID, func(now *Sandbox) error {
		now.NetworkGeneration.Applied = sb.NetworkGeneration.Wanted
		return now.enter(StateStarted, "", s.config.Clock.Now())
	})
}

func (s *Service) stepStop(ctx context.Context, sb *Sandbox) error {
	limited, cancel := context.WithTimeout(ctx, s.config.StopGrace+endPatience)
	defer cancel()
	if err := s.config.Engine.Stop(limited, sb.ID, s.config.StopGrace); err != nil && !errors.Is(err, engine.ErrNotFound) {
		return fmt.Errorf("stop sandbox %s: %w", sb.ID, err)
	}
	return s.apply(ctx, sb.ID, func(now *Sandbox) error {
		return now.enter(StateStopped, "", s.config.Clock.Now())
	})
}

func (s *Service) stepDestroy(ctx context.Context, sb *Sandbox) error {
	limited, cancel := context.WithTimeout(ctx, s.config.StopGrace+endPatience)
	defer cancel()
	if err := s.config.Engine.Delete(limited, sb.ID); err != nil {
		return fmt.Errorf("destroy sandbox %s: %w", sb.ID, err)
	}
	if err := s.config.Store.DeleteSandbox(ctx, sb.ID); err != nil {
		return fmt.Errorf("destroy sandbox %s: %w", sb.ID, err)
	}
	s.activity.forget(sb.ID)
	if sb.ImageDigest != "" {
		s.config.Snapshots.FreeImage(sb.ImageDigest)
	}
	gone := *sb
	if err := gone.enter(StateDestroyed, "", s.config.Clock.Now()); err != nil {
		return err
	}
	if sb.WarmPoolID != "" {
		s.jobs.pools.Add(pool(sb.WarmPoolID, sb.OrganizationID))
		s.changes.Signal(sb.ID)
		return nil
	}
	s.config.Log.Info("sandbox state", "sandbox", sb.ID, "from", sb.State, "to", gone.State)
	s.config.Events.SandboxStateChanged(&gone, sb.State)
	s.changes.Signal(sb.ID)
	return nil
}

// apply makes the reconciler's own transition, which gives way to whatever a
// command wrote in the meantime.
func (s *Service) apply(ctx context.Context, id string, change func(*Sandbox) error) error {
	_, err := s.update(ctx, id, change)
	return ignoreOvertaken(err)
}

func ignoreOvertaken(err error) error {
	if fault.Is(err, fault.KindConflict) || fault.Is(err, fault.KindNotFound) {
		return nil
	}
	return err
}

// watchEngine has the sandboxes looked at that end by themselves, and those that
// the engine cannot recover or has recovered.
func (s *Service) watchEngine(ctx context.Context) {
	for e := range s.config.Engine.Watch(ctx) {
		if e.Resync {
			s.jobs.recovery.Add(controller.Job{Key: "all"})
			continue
		}
		s.recovery.outdate(e.ID)
		s.jobs.observe.Add(controller.Job{Key: e.ID})
	}
}

// end writes down that a sandbox that should run has ended.
func (s *Service) end(sb *Sandbox, exit engine.Exit) error {
	reason := ""
	if exit.OOMKilled {
		reason = fmt.Sprintf("The sandbox ran out of memory (%d GiB) and was killed.", sb.Resources.Memory)
	}
	if exit.PoolFailed {
		reason = poolFailed
	}
	sb.Desired = DesiredStopped
	return sb.enter(StateStopped, reason, s.config.Clock.Now())
}

const poolFailed = "The disks of this server failed, and all sandboxes were stopped to bring them back: what this one had synced is there. Start it again."

// reasonOf tells people why a sandbox could not start; the log has the chain.
func reasonOf(err error) string {
	var bad *engine.BadFile
	switch {
	case errors.As(err, &bad):
		return fmt.Sprintf("The sandbox cannot be started: its %s. A fork or a snapshot of it would not start either; make another one.", bad)
	case errors.Is(err, errEnvLost):
		return envLost
	case errors.Is(err, engine.ErrStartTimeout):
		return "The sandbox did not start within the time limit. Start it again; if that fails too, ask the server's administrator: the log tells which step it was."
	case errors.Is(err, engine.ErrNoSpace):
		return "The server has no disk space left for the sandbox: delete sandboxes or enlarge the disk pool, then start it again."
	case errors.Is(err, engine.ErrPoolFailed):
		return "The disks of this server have failed and are being brought back: start the sandbox again in a moment."
	case errors.Is(err, engine.ErrNoSlot):
		return "The server has no network slot left for the sandbox: stop or delete others, then start it again."
	case errors.Is(err, engine.ErrNotFound):
		return "The disk that the sandbox should be a copy of is no longer on this machine: its parent was deleted before it was forked."
	case errors.Is(err, engine.ErrImageMissing):
		return "The sandbox's image is not on this machine: activate its snapshot, then start it again."
	}
	return "The sandbox could not be started: " + err.Error()
}
