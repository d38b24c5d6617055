package snapshot

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/image"
)

// expiryPeriod is how often unused snapshots are looked for; their age is
// counted in days.
const expiryPeriod = time.Minute

// Run makes the snapshots what their rows say until ctx ends: it resumes what a
// crash left unfinished, works the queue, and deactivates what is not used.
// It returns when all its work has stopped.
func (s *Service) Run(ctx context.Context) error {
	if err := s.resume(ctx); err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.queue.Run(ctx, s.Workers, s.reconcile) })
	wg.Go(func() { s.expireLoop(ctx) })
	wg.Wait()
	s.builds.Wait()
	return nil
}

// resume queues everything that is not settled and squares the image store's
// owners with the rows.
func (s *Service) resume(ctx context.Context) error {
	all, err := s.Store.SnapshotsIn(ctx)
	if err != nil {
		return fmt.Errorf("resume snapshots: %w", err)
	}
	lost, err := s.custody.recover(ctx, all)
	if err != nil {
		return fmt.Errorf("resume snapshots: %w", err)
	}
	if err := s.discardCaptures(ctx, all); err != nil {
		return fmt.Errorf("resume snapshots: %w", err)
	}
	for _, snap := range lost {
		s.Log.Warn("image of an active snapshot is not here, bringing it again", "snapshot", snap.Name)
		if _, err := s.move(ctx, snap.ID, StatePending, "", nil); err != nil {
			return fmt.Errorf("resume snapshots: %w", err)
		}
	}
	for _, snap := range all {
		if !snap.State.Settled() {
			s.queue.Add(snap.ID)
		}
	}
	return nil
}

// reconcile makes one snapshot what its row says. It may be repeated after any
// crash.
func (s *Service) reconcile(ctx context.Context, id string) error {
	snap, err := s.Store.Snapshot(ctx, id)
	if fault.Is(err, fault.KindNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	switch snap.State {
	case StatePending, StateBuilding:
		if snap.Build != nil {
			s.beside(ctx, snap, s.build)
			return nil
		}
		_, err := s.move(ctx, id, StatePulling, "", nil) // which queues it again
		return ignoreOvertaken(err)
	case StatePulling:
		if snap.SourceSandboxID != "" {
			return s.bringBack(ctx, snap)
		}
		s.beside(ctx, snap, s.pull)
	case StateSnapshotting:
		s.beside(ctx, snap, s.take)
	case StateActive:
		if snap.SourceSandboxID != "" {
			return s.Captures.Discard(ctx, snap.Revision)
		}
	case StateInactive, StateError, StateBuildFailed:
		if snap.SourceSandboxID != "" {
			if err := s.Captures.Discard(ctx, snap.Revision); err != nil || snap.State == StateInactive {
				return err
			}
		}
		return s.custody.snapshotGone(ctx, snap)
	case StateRemoving:
		return s.remove(ctx, snap)
	}
	return nil
}

// made settles the snapshot whose content is img now. Somebody's removal or
// update may have been quicker.
func (s *Service) made(ctx context.Context, snap *Snapshot, img *image.Image) error {
	if snap.Replaces != "" {
		return ignoreOvertaken(s.replace(ctx, snap, img))
	}
	_, err := s.move(ctx, snap.ID, StateActive, "", func(now *Snapshot) error {
		now.adopt(img)
		return now.still(snap)
	})
	return ignoreOvertaken(err)
}

// failed settles the snapshot whose content could not be made.
func (s *Service) failed(ctx context.Context, snap *Snapshot, state State, reason string) error {
	_, err := s.move(ctx, snap.ID, state, reason, func(now *Snapshot) error { return now.still(snap) })
	return ignoreOvertaken(err)
}

// still fails with fault.KindConflict when the content is another one than it
// was in before.
func (s *Snapshot) still(before *Snapshot) error {
	if s.Revision != before.Revision {
		return fault.Conflict("SNAPSHOT_STATE", fmt.Sprintf("Snapshot %q has just been replaced.", s.Name))
	}
	return nil
}

// current reports whether snap's content is still wanted. Asked after the work
// on it has begun, the answer holds until that is stopped.
func (s *Service) current(ctx context.Context, snap *Snapshot) (bool, error) {
	now, err := s.Store.Snapshot(ctx, snap.ID)
	if fault.Is(err, fault.KindNotFound) {
		return false, nil
	}
	return err == nil && now.State == snap.State && now.Revision == snap.Revision, err
}

// adopt fills in what only the image could tell.
func (s *Snapshot) adopt(img *image.Image) {
	s.ImageDigest, s.Size, s.User = img.Digest, img.Size, img.DefaultUser
	if len(s.Entrypoint) == 0 {
		s.Entrypoint = img.Config.Command()
	}
	if len(s.Entrypoint) == 0 {
		s.Entrypoint = DefaultEntrypoint
	}
}

// remove frees what the snapshot holds and forgets it. Its update goes first.
func (s *Service) remove(ctx context.Context, snap *Snapshot) error {
	if s.works.stop(snap.Revision, snap.ID) {
		return nil // the end of the work queues it again
	}
	if snap.Next != nil {
		if err := s.dropUpdate(ctx, snap.Next); err != nil {
			return fmt.Errorf("remove snapshot %q: %w", snap.Name, err)
		}
	}
	if err := s.custody.snapshotGone(ctx, snap); err != nil {
		return fmt.Errorf("remove snapshot %q: %w", snap.Name, err)
	}
	if snap.SourceSandboxID != "" {
		if err := s.Captures.Discard(ctx, snap.Revision); err != nil {
			return fmt.Errorf("remove snapshot %q: %w", snap.Name, err)
		}
	}
	if err := s.Logs.Remove(snap.Revision); err != nil {
		return fmt.Errorf("remove snapshot %q: %w", snap.Name, err)
	}
	if err := s.Store.DeleteSnapshot(ctx, snap.ID); err != nil {
		return fmt.Errorf("remove snapshot %q: %w", snap.Name, err)
	}
	if snap.Replaces == "" {
		s.Events.SnapshotRemoved(snap)
		s.changes.Signal(snap.ID)
	}
	return nil
}

func (s *Service) expireLoop(ctx context.Context) {
	tick := s.Clock.NewTicker(expiryPeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C():
			if err := s.Expire(ctx); err != nil && ctx.Err() == nil {
				s.Log.Error("deactivate unused snapshots", "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// Expire deactivates the snapshots that were not used for as long as the limits
// allow. General ones stay.
func (s *Service) Expire(ctx context.Context) error {
	failed := []error{s.expireTransient(ctx)}
	limit := s.Limits.DeactivateAfter()
	if limit <= 0 {
		return errors.Join(failed...)
	}
	since := s.Clock.Now().Add(-limit)
	unused, err := s.Store.UnusedSnapshots(ctx, since, false)
	if err != nil {
		return fmt.Errorf("expire snapshots: %w", err)
	}
	for _, snap := range unused {
		_, err := s.move(ctx, snap.ID, StateInactive, "", func(now *Snapshot) error {
			if now.UpdatedAt.After(since) || now.LastUsedAt != nil && now.LastUsedAt.After(since) {
				return fault.Conflict("SNAPSHOT_USED", fmt.Sprintf("Snapshot %q has just been used.", now.Name))
			}
			return nil
		})
		failed = append(failed, ignoreOvertaken(err))
	}
	return errors.Join(failed...)
}

// ignoreOvertaken drops the error of a transition that somebody else's was
// quicker than: the snapshot is queued again for that one.
func ignoreOvertaken(err error) error {
	if fault.Is(err, fault.KindConflict) || fault.Is(err, fault.KindNotFound) {
		return nil
	}
	return err
}

// reasonOf is the sentence of an error that is meant for people.
func reasonOf(err error) string {
	var told interface{ Message() string }
	if errors.As(err, &told) {
		return told.Message()
	}
	return err.Error()
}
