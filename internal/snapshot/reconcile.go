package snapshot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/oci"
)

// expiryPeriod is how often unused snapshots are looked for; their age is
// counted in days.
const expiryPeriod = time.Minute

// Run resumes the snapshots, and then deactivates what is not used until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	if err := s.Resume(ctx); err != nil {
		return nil // ctx has ended
	}
	tick := s.config.Clock.NewTicker(expiryPeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C():
			if err := s.Expire(ctx); err != nil && ctx.Err() == nil {
				s.config.Log.Error("deactivate unused snapshots", "err", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// reconcile is the job that takes one snapshot a step towards what its row says,
// or adds the job that makes its image.
func (s *Service) reconcile(ctx context.Context, t *controller.Task) error {
	snap, err := s.config.Store.Snapshot(ctx, t.Key)
	if fault.Is(err, fault.KindNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if snap.Damaged && snap.State != StateRemoving {
		return nil
	}
	switch snap.State {
	case StatePending, StateBuilding:
		if snap.Build != nil {
			s.jobs.builds.Add(making(snap))
			return nil
		}
		_, err := s.move(ctx, snap.ID, StatePulling, "", nil) // which adds it again
		return ignoreOvertaken(err)
	case StatePulling:
		if snap.SourceSandboxID != "" {
			return s.restore(ctx, snap)
		}
		s.jobs.pulls.Add(making(snap))
	case StateSnapshotting:
		s.jobs.captures.Add(making(snap))
	case StateActive:
		if snap.SourceSandboxID != "" {
			return s.config.Captures.Discard(ctx, snap.Revision)
		}
	case StateInactive, StateError, StateBuildFailed:
		if snap.SourceSandboxID != "" {
			if err := s.config.Captures.Discard(ctx, snap.Revision); err != nil || snap.State == StateInactive {
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
func (s *Service) made(ctx context.Context, snap *Snapshot, img *oci.Image) error {
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

// adopt fills in what only the image could tell.
func (s *Snapshot) adopt(img *oci.Image) {
	s.ImageDigest, s.Size, s.User = img.Digest, img.Size, img.DefaultUser
	if len(s.Entrypoint) == 0 {
		s.Entrypoint = img.Command
	}
	if len(s.Entrypoint) == 0 {
		s.Entrypoint = DefaultEntrypoint
	}
}

// remove frees what the snapshot holds and forgets it. Its update goes first.
func (s *Service) remove(ctx context.Context, snap *Snapshot) error {
	if err := s.stopMaking(ctx, snap.Revision); err != nil {
		return fmt.Errorf("remove snapshot %q: %w", snap.Name, err)
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
		if err := s.config.Captures.Discard(ctx, snap.Revision); err != nil {
			return fmt.Errorf("remove snapshot %q: %w", snap.Name, err)
		}
	}
	if err := s.config.Logs.Remove(snap.Revision); err != nil {
		return fmt.Errorf("remove snapshot %q: %w", snap.Name, err)
	}
	if err := s.config.Store.DeleteSnapshot(ctx, snap.ID); err != nil {
		return fmt.Errorf("remove snapshot %q: %w", snap.Name, err)
	}
	if snap.Replaces == "" {
		s.config.Events.SnapshotRemoved(snap)
		s.changes.Signal(snap.ID)
	}
	return nil
}

// Expire deactivates the snapshots that were not used for as long as the limits
// allow. General ones stay.
func (s *Service) Expire(ctx context.Context) error {
	failed := []error{s.expireTransient(ctx)}
	limit := s.config.Limits.DeactivateAfter()
	if limit <= 0 {
		return errors.Join(failed...)
	}
	since := s.config.Clock.Now().Add(-limit)
	unused, err := s.config.Store.UnusedSnapshots(ctx, since, false)
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
// quicker than: the snapshot's job is added again for that one.
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
