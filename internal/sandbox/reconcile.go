package sandbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// Run makes the sandboxes what their rows say until ctx ends: it works the
// queue, learns of sandboxes that end by themselves, and lets the clocks stop and
// delete. Resume comes before it. It returns when all its work has stopped; the
// sandboxes run on.
func (s *Service) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { s.queue.Run(ctx, s.Workers, s.reconcile) })
	wg.Go(func() { s.pools.Run(ctx, 2, s.reconcilePool) })
	wg.Go(func() { s.moved.Run(ctx, 2, s.wake) })
	wg.Go(func() { s.images.Run(ctx, 1, s.Snapshots.FreeImage) })
	wg.Go(func() { s.watchEngine(ctx) })
	wg.Go(func() { s.seen.Run(ctx, 2, s.observe) })
	wg.Go(func() { s.clockLoop(ctx) })
	wg.Wait()
	s.kills.Wait()
	// The last of the activity is written although ctx has ended.
	return s.flushActivity(context.WithoutCancel(ctx))
}

// Resume squares the rows with the engine after a restart, however the last
// server ended. Call it before anybody may ask for a sandbox: a row that says
// started without a process behind it would be given away. What the engine has
// to do for it is queued, so that no sandbox holds up the others.
func (s *Service) Resume(ctx context.Context) error {
	rows, err := s.Store.AllSandboxes(ctx)
	if err != nil {
		return fmt.Errorf("resume sandboxes: %w", err)
	}
	found, err := s.Engine.List(ctx)
	if err != nil {
		return fmt.Errorf("resume sandboxes: %w", err)
	}
	here := make(map[string]engine.Status, len(found))
	for _, st := range found {
		here[st.ID] = st
	}
	for _, sb := range rows {
		st, known := here[sb.ID]
		if err := s.square(ctx, sb, known, st); err != nil {
			return fmt.Errorf("resume sandbox %s: %w", sb.ID, err)
		}
	}
	// What no row knows is not ours to delete: package quarantine has it.
	s.noteAll(ctx, rows)
	return s.queueAllPools(ctx)
}

// square makes one row say what the engine saw. It writes the store alone.
func (s *Service) square(ctx context.Context, sb *Sandbox, known bool, st engine.Status) error {
	running := known && st.Phase == engine.PhaseRunning
	switch {
	case !sb.State.Settled():
		s.queue.Add(sb.ID)
		if sb.WarmPoolID != "" {
			s.pools.Add(sb.WarmPoolID) // which may be deleted
		}
	case sb.WarmPoolID != "" && (sb.State != StateStarted || !running):
		return s.drop(ctx, sb.ID)
	case sb.WarmPoolID != "":
		s.pools.Add(sb.WarmPoolID)
	case sb.State == StateStarted && st.Phase == engine.PhaseFailed:
		return s.unrecovered(ctx, st)
	case sb.State == StateError && sb.Desired == DesiredStarted && running:
		return s.recovered(ctx, sb.ID)
	case sb.State == StateStarted && !running:
		return s.lostRunning(ctx, sb.ID, known, st)
	case sb.State == StateStopped && !known:
		return s.apply(ctx, sb.ID, func(sb *Sandbox) error { return sb.enter(StateError, diskLost, s.Clock.Now()) })
	case running:
		// A change of one that should run may have been written and not been made;
		// one that should not run is to be stopped.
		s.stale.add(sb.ID)
		s.queue.Add(sb.ID)
	}
	return nil
}

// stale are the sandboxes of which the engine may not have what the row says. The
// zero value is ready for use.
type stale struct {
	mu  sync.Mutex
	ids map[string]struct{}
}

func (s *stale) add(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids == nil {
		s.ids = make(map[string]struct{})
	}
	s.ids[id] = struct{}{}
}

// take reports whether id is one, and forgets it.
func (s *stale) take(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, is := s.ids[id]
	delete(s.ids, id)
	return is
}

// sync lets the engine have what the row says, where it may not.
func (s *Service) sync(ctx context.Context, sb *Sandbox) (err error) {
	if !s.stale.take(sb.ID) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, syncPatience)
	defer cancel()
	switch {
	case sb.State == StateStarted:
		err = errors.Join(s.syncNetwork(ctx, sb.ID), s.syncSize(ctx, sb.ID))
	case sb.State == StateError && sb.Desired == DesiredStarted: // the engine recovers it
	case sb.State.Settled():
		err = s.Engine.Stop(ctx, sb.ID, 0)
	}
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		s.stale.add(sb.ID)
		return fmt.Errorf("sync sandbox %s: %w", sb.ID, err)
	}
	return nil
}

const diskLost = "The sandbox's disk is no longer on this machine."

// lostRunning decides what becomes of a sandbox that should run and does not: a
// reboot of the machine ends them all, and they start again; otherwise it ended
// while no server watched.
func (s *Service) lostRunning(ctx context.Context, id string, known bool, st engine.Status) error {
	if !known {
		return s.apply(ctx, id, func(sb *Sandbox) error {
			sb.Desired = DesiredStopped
			if err := sb.enter(StateStopping, "", s.Clock.Now()); err != nil {
				return err
			}
			return sb.enter(StateError, diskLost, s.Clock.Now())
		})
	}
	if !st.Booted {
		return s.apply(ctx, id, func(sb *Sandbox) error {
			return sb.enter(StateStarting, "", s.Clock.Now())
		})
	}
	return s.ended(ctx, st)
}

// reconcile makes one sandbox what its row says. It may be repeated after any
// crash.
func (s *Service) reconcile(ctx context.Context, id string) error {
	sb, err := s.Store.Sandbox(ctx, id)
	if fault.Is(err, fault.KindNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.sync(ctx, sb); err != nil {
		return err
	}
	switch sb.State {
	case StatePulling, StatePendingBuild, StateBuilding:
		return s.stepPulling(ctx, sb)
	case StateCreating, StateStarting:
		return s.stepStart(ctx, sb)
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

// stepPulling goes on when the snapshot has; snapshotMoved queues the sandbox
// again.
func (s *Service) stepPulling(ctx context.Context, sb *Sandbox) error {
	snap, err := s.Snapshots.Get(ctx, sb.OrganizationID, sb.SnapshotID)
	if err != nil && !fault.Is(err, fault.KindNotFound) {
		return err
	}
	var wrongUser error
	if snap != nil && snap.State == snapshot.StateActive && sb.User != "" {
		wrongUser = s.Snapshots.CheckUser(ctx, snap, sb.User)
		if wrongUser != nil && !fault.Is(wrongUser, fault.KindInvalid) {
			return wrongUser
		}
	}
	return s.apply(ctx, sb.ID, func(now *Sandbox) error {
		switch {
		case snap == nil:
			return now.enter(StateError, fmt.Sprintf("Snapshot %q was deleted before the sandbox started.", now.Snapshot), s.Clock.Now())
		case wrongUser != nil:
			return now.enter(StateError, wrongUser.Error(), s.Clock.Now())
		case snap.State == snapshot.StateActive:
			now.standOn(snap)
			return now.enter(StateCreating, "", s.Clock.Now())
		case snap.State == snapshot.StateBuilding && now.State == StatePendingBuild:
			return now.enter(StateBuilding, "", s.Clock.Now())
		case snap.State == snapshot.StateBuildFailed && now.State != StatePulling:
			return now.enter(StateBuildFailed, snap.ErrorReason, s.Clock.Now())
		case snap.State.Settled():
			return now.enter(StateError, fmt.Sprintf("Snapshot %q is %s: %s", now.Snapshot, snap.State, snap.ErrorReason), s.Clock.Now())
		}
		return nil
	})
}

// snapshotMoved has those woken who wait for the snapshot.
func (s *Service) snapshotMoved(snap *snapshot.Snapshot) {
	if snap.SourceSandboxID != "" && snap.State != snapshot.StateSnapshotting {
		s.queue.Add(snap.SourceSandboxID)
	}
	s.moved.Add(snap.ID + "/" + snap.Name)
}

// wake queues the sandboxes that wait for a snapshot, and the pools that are made
// of it. The key is the snapshot's id and name.
func (s *Service) wake(ctx context.Context, key string) error {
	id, name, _ := strings.Cut(key, "/")
	pools, err := s.Store.WarmPools(ctx, "")
	if err != nil {
		return fmt.Errorf("find the warm pools of snapshot %s: %w", name, err)
	}
	for _, p := range pools {
		if p.Snapshot == name {
			s.pools.Add(p.ID)
		}
	}
	those, err := s.Store.SandboxesOfSnapshot(ctx, id, waiting...)
	if err != nil {
		return fmt.Errorf("find the sandboxes that wait for snapshot %s: %w", name, err)
	}
	for _, sb := range those {
		s.queue.Add(sb.ID)
	}
	return nil
}

// errEnvLost keeps a sandbox from starting without what its programs need.
var errEnvLost = errors.New("its variables do not open with this encryption key")

const envLost = "The variables of the sandbox were encrypted with another key: the server's administrator can give it back the earlier encryption-key."

// stepStart makes the disk where there is none and starts the sandbox. A
// failure is the sandbox's state, not an error to repeat: its owner decides.
func (s *Service) stepStart(ctx context.Context, sb *Sandbox) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.steps[sb.ID] = cancel
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.steps, sb.ID)
		s.mu.Unlock()
	}()
	spec := sb.spec()
	spec.Record = s.record(sb)
	var err error
	if sb.EnvLost {
		err = errEnvLost
	}
	if err == nil {
		err = s.Engine.Create(ctx, spec)
	}
	if err == nil {
		err = s.Engine.Start(ctx, spec)
	}
	if err == nil && sb.Claimed {
		err = s.Agents.Configure(ctx, sb.ID, spec.Hostname, sb.Env)
	}
	if err != nil && ctx.Err() != nil {
		// A removal has queued it again; a server that stops resumes it.
		return nil
	}
	if err != nil {
		s.Log.Error("start sandbox", "sandbox", sb.ID, "err", err)
		return s.apply(ctx, sb.ID, func(now *Sandbox) error {
			return now.enter(StateError, reasonOf(err), s.Clock.Now())
		})
	}
	now, err := s.update(ctx, sb.ID, func(now *Sandbox) error {
		return now.enter(StateStarted, "", s.Clock.Now())
	})
	if err != nil {
		return ignoreOvertaken(err)
	}
	if now.Network.equal(sb.Network) {
		return nil
	}
	// It was changed while the sandbox was being started with what it was before.
	s.stale.add(sb.ID)
	return s.sync(ctx, now)
}

// endPatience is how long the engine may take to end a sandbox after its grace
// and free what it held. One that resists is tried again later, so that it takes
// no worker for good.
const endPatience = time.Minute

func (s *Service) stepStop(ctx context.Context, sb *Sandbox) error {
	limited, cancel := context.WithTimeout(ctx, s.StopGrace+endPatience)
	defer cancel()
	if err := s.Engine.Stop(limited, sb.ID, s.StopGrace); err != nil && !errors.Is(err, engine.ErrNotFound) {
		return fmt.Errorf("stop sandbox %s: %w", sb.ID, err)
	}
	return s.apply(ctx, sb.ID, func(now *Sandbox) error {
		return now.enter(StateStopped, "", s.Clock.Now())
	})
}

func (s *Service) stepDestroy(ctx context.Context, sb *Sandbox) error {
	limited, cancel := context.WithTimeout(ctx, s.StopGrace+endPatience)
	defer cancel()
	if err := s.Engine.Delete(limited, sb.ID); err != nil {
		return fmt.Errorf("destroy sandbox %s: %w", sb.ID, err)
	}
	if err := s.Store.DeleteSandbox(ctx, sb.ID); err != nil {
		return fmt.Errorf("destroy sandbox %s: %w", sb.ID, err)
	}
	s.activity.forget(sb.ID)
	if sb.ImageDigest != "" {
		s.images.Add(sb.ImageDigest) // repeated when it fails, without a row that would
	}
	gone := *sb
	if err := gone.enter(StateDestroyed, "", s.Clock.Now()); err != nil {
		return err
	}
	if sb.WarmPoolID != "" {
		s.pools.Add(sb.WarmPoolID)
		s.changes.Signal(sb.ID)
		return nil
	}
	s.Log.Info("sandbox state", "sandbox", sb.ID, "from", sb.State, "to", gone.State)
	s.Events.SandboxStateChanged(&gone, sb.State)
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

// watchEngine queues the sandboxes that end by themselves, and those that the
// engine cannot recover or has recovered.
func (s *Service) watchEngine(ctx context.Context) {
	for e := range s.Engine.Watch(ctx) {
		if e.Resync {
			s.seen.Add(allSandboxes)
		} else {
			s.seen.Add(e.ID)
		}
	}
}

// allSandboxes is no id of one.
const allSandboxes = "all"

// observe looks at a sandbox of the engine, or at all, and records what it sees.
func (s *Service) observe(ctx context.Context, id string) error {
	if id != allSandboxes {
		st, err := s.Engine.Inspect(ctx, id)
		if errors.Is(err, engine.ErrNotFound) {
			return nil // it was removed meanwhile
		}
		if err != nil {
			return err
		}
		return s.observed(ctx, st)
	}
	all, err := s.Engine.List(ctx)
	for _, st := range all {
		err = errors.Join(err, s.observed(ctx, st))
	}
	return err
}

// observed records what the engine sees of a sandbox, where a row says otherwise.
func (s *Service) observed(ctx context.Context, st engine.Status) error {
	sb, err := s.Store.Sandbox(ctx, st.ID)
	if fault.Is(err, fault.KindNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case sb.State == StateStarted && st.Phase == engine.PhaseFailed && sb.WarmPoolID != "":
		return s.drop(ctx, st.ID)
	case sb.State == StateStarted && st.Phase == engine.PhaseFailed:
		return s.unrecovered(ctx, st)
	case sb.State == StateStarted && st.Phase == engine.PhaseStopped && st.Exit != nil:
		return s.ended(ctx, st)
	case sb.State == StateError && sb.Desired == DesiredStarted && st.Phase == engine.PhaseRunning:
		return s.recovered(ctx, st.ID)
	}
	return nil
}

// unrecovered records that the engine could not recover a sandbox that should
// run. The engine tries again; the sandbox is still wanted.
func (s *Service) unrecovered(ctx context.Context, st engine.Status) error {
	return s.apply(ctx, st.ID, func(sb *Sandbox) error {
		if sb.State != StateStarted {
			return nil
		}
		return sb.enter(StateError, "The sandbox could not be recovered, which the server tries again: "+st.Problem, s.Clock.Now())
	})
}

// recovered starts a sandbox that is in error and should run, and whose processes
// do: for the engine that changes nothing.
func (s *Service) recovered(ctx context.Context, id string) error {
	err := s.apply(ctx, id, func(sb *Sandbox) error {
		if sb.State != StateError || sb.Desired != DesiredStarted {
			return nil
		}
		return sb.enter(StateStarting, "", s.Clock.Now())
	})
	if err == nil {
		s.queue.Add(id)
	}
	return err
}

// ended records that a sandbox ended by itself.
func (s *Service) ended(ctx context.Context, st engine.Status) error {
	exit := engine.Exit{}
	if st.Exit != nil {
		exit = *st.Exit
	}
	return s.apply(ctx, st.ID, func(sb *Sandbox) error {
		if sb.State != StateStarted {
			return nil // a command is under way and will see for itself
		}
		reason := ""
		if exit.OOMKilled {
			reason = fmt.Sprintf("The sandbox ran out of memory (%d GiB) and was killed.", sb.Resources.Memory)
		}
		if exit.PoolFailed {
			reason = poolFailed
		}
		sb.Desired = DesiredStopped
		return sb.enter(StateStopped, reason, s.Clock.Now())
	})
}

const poolFailed = "The disks of this server failed, and all sandboxes were stopped to bring them back: what this one had synced is there. Start it again."

func (s *Service) cancelStep(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel := s.steps[id]; cancel != nil {
		cancel()
	}
}

// killPatience is how long a sandbox may take to be gone once it is killed.
const killPatience = 10 * time.Second

// kill ends a sandbox at once, while its orderly stop may be waiting.
func (s *Service) kill(id string) {
	s.kills.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.StopGrace+killPatience)
		defer cancel()
		if err := s.Engine.Stop(ctx, id, 0); err != nil && !errors.Is(err, engine.ErrNotFound) {
			s.Log.Error("kill sandbox", "sandbox", id, "err", err)
		}
	})
}

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
