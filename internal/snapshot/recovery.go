package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/fault"
)

// Resume goes on with what a restart interrupted, and returns when it is known
// what that is: each snapshot's work is a job of its own. While the database or
// the image store does not answer, it is tried again. The controller must run.
// Errors: ctx's.
func (s *Service) Resume(ctx context.Context) error {
	select {
	case <-s.recovered:
		return nil
	default:
		s.jobs.recovery.Add(controller.Job{Key: "all"})
	}
	select {
	case <-s.recovered:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("resume snapshots: %w", ctx.Err())
	}
}

// resume is the job that compares the rows with the images and the copies of
// disks that are here.
func (s *Service) resume(ctx context.Context, _ *controller.Task) error {
	all, err := s.config.Store.SnapshotsIn(ctx)
	if err != nil {
		return fmt.Errorf("resume snapshots: %w", err)
	}
	owners, err := s.config.Images.Owners(ctx)
	if err != nil {
		return fmt.Errorf("resume snapshots: list image owners: %w", err)
	}
	copies, err := s.config.Captures.Captures(ctx)
	if err != nil {
		return fmt.Errorf("resume snapshots: list copies of disks: %w", err)
	}
	var failed []error
	for _, snap := range all {
		_, held := owners[snapshotOwner(snap.Revision)]
		switch {
		case snap.Damaged && snap.State != StateRemoving: // it keeps what it holds
			s.config.Log.Error("the record of a snapshot is damaged", "snapshot", snap.ID, "err", snap.ErrorReason)
		case snap.State == StateActive && !held:
			s.config.Log.Warn("image of an active snapshot is not here, bringing it again", "snapshot", snap.Name)
			_, err := s.move(ctx, snap.ID, StatePending, "", sameAs(snap))
			failed = append(failed, ignoreOvertaken(err))
		case !snap.State.Settled(), // goes on
			snap.State != StateActive && held && !snap.keepsImage(), // lets its image go
			slices.Contains(copies, snap.Revision):                  // and the copy it was made of
			s.jobs.rows.Add(step(snap))
		}
	}
	// What no row knows is not ours to delete: package quarantine has it.
	for owner, digest := range owners {
		if strings.HasPrefix(owner, sandboxesOwnerPrefix) {
			s.FreeImage(digest)
		}
	}
	select {
	case <-s.recovered:
	default:
		close(s.recovered)
	}
	return errors.Join(failed...)
}

// sameAs allows a transition only from where the snapshot was seen.
func sameAs(before *Snapshot) func(*Snapshot) error {
	return func(now *Snapshot) error {
		if now.State != before.State || now.Revision != before.Revision {
			return fault.Conflict("SNAPSHOT_STATE", fmt.Sprintf("Snapshot %q has just changed.", now.Name))
		}
		return nil
	}
}
