package snapshot

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/opendaytona/daytona/internal/controller"
)

// TakeParams ask for a snapshot of a sandbox as it is now.
type TakeParams struct {
	Name       string
	SandboxID  string
	Region     string
	Image      string // digest of what the sandbox stands on
	Entrypoint []string
	User       string
	Resources  Resources
}

// Take records a new snapshot in state snapshotting; the reconciler makes its
// image of the sandbox's. Errors: fault of kind Invalid, Quota, Conflict (name
// taken).
func (s *Service) Take(ctx context.Context, organizationID string, p TakeParams) (*Snapshot, error) {
	if err := validateName(p.Name); err != nil {
		return nil, err
	}
	allow, err := s.config.Limits.CheckSnapshot(p.Resources)
	if err != nil {
		return nil, err
	}
	now := s.config.Clock.Now()
	id := uuid.NewString()
	snap := &Snapshot{
		ID: id, OrganizationID: organizationID, Name: p.Name, CreatedAt: now, UpdatedAt: now,
		Content: Content{
			Revision: id, State: StateSnapshotting, SourceSandboxID: p.SandboxID, ImageDigest: p.Image,
			Entrypoint: p.Entrypoint, User: p.User, Resources: p.Resources, RegionIDs: []string{p.Region},
		},
	}
	if err := s.config.Store.InsertSnapshot(ctx, snap, allow); err != nil {
		return nil, fmt.Errorf("snapshot sandbox %s: %w", p.SandboxID, err)
	}
	s.config.Events.SnapshotCreated(snap)
	s.jobs.rows.Add(step(snap))
	return snap, nil
}

// Taking tells whether a snapshot of the sandbox is being made.
func (s *Service) Taking(ctx context.Context, sandboxID string) (bool, error) {
	making, err := s.config.Store.SnapshotsIn(ctx, StateSnapshotting)
	for _, snap := range making {
		if snap.SourceSandboxID == sandboxID {
			return true, err
		}
	}
	return false, err
}

// capture is the job that makes the image of a sandbox: its disk is copied at one
// moment, and the copy becomes a layer above the sandbox's image while the sandbox
// goes on. After a crash it goes on from the copy. An error is the server's.
func (s *Service) capture(ctx context.Context, t *controller.Task) error {
	snap, err := s.wanted(ctx, t, func(state State) bool { return state == StateSnapshotting })
	if snap == nil || err != nil {
		return err
	}
	log, err := s.startLog(snap)
	if err != nil {
		return err
	}
	defer log.Close()
	began := s.config.Clock.Now()
	log.Line("Copying the disk of sandbox " + snap.SourceSandboxID)
	// The sandbox, which holds its image, may go as soon as its disk is copied.
	err = s.config.Images.Hold(ctx, snapshotOwner(snap.Revision), snap.ImageDigest)
	if err == nil {
		err = s.config.Captures.Capture(ctx, snap.SourceSandboxID, snap.Revision)
	}
	if err != nil {
		return s.captureFailed(ctx, snap, err, log.Line)
	}
	// Packing takes a processor and the disk, as builds do, but nobody who
	// waits for a sandbox's snapshot should wait for somebody's long build.
	t.Moved = func(place int) {
		log.Line(fmt.Sprintf("Waiting for snapshots of other sandboxes: place %d in the queue", place))
	}
	if err := t.Enter(ctx); err != nil {
		return nil // removed, or the server ends
	}
	log.Line("Making a layer of what the sandbox changed")
	img, err := s.config.Captures.Commit(ctx, snap.Revision, snap.ImageDigest, snapshotOwner(snap.Revision))
	if err != nil {
		return s.captureFailed(ctx, snap, err, log.Line)
	}
	log.Line(fmt.Sprintf("Made image %s in %s", img.Digest, s.config.Clock.Since(began).Round(time.Millisecond)))
	_, err = s.move(ctx, snap.ID, StateActive, "", func(now *Snapshot) error {
		if err := now.still(snap); err != nil {
			return err
		}
		user := now.User
		now.adopt(img)
		if user != "" { // the sandbox's, which may not be the image's
			now.User = user
		}
		return nil
	})
	return ignoreOvertaken(err)
}

// captureFailed settles a snapshot that could not be made.
func (s *Service) captureFailed(ctx context.Context, snap *Snapshot, err error, line func(string)) error {
	if ctx.Err() != nil {
		return nil // removed, or the server ends and the next one goes on
	}
	s.config.Log.Warn("snapshot of a sandbox failed", "snapshot", snap.Name, "sandbox", snap.SourceSandboxID, "err", err)
	reason := "The snapshot could not be made: " + reasonOf(err)
	line(reason)
	return s.failed(ctx, snap, StateError, reason)
}

// keepsImage tells whether the image is nowhere but here, so that it must stay
// when the snapshot is not active.
func (s *Snapshot) keepsImage() bool { return s.SourceSandboxID != "" && s.State != StateRemoving }

// restore makes a snapshot of a sandbox active again: its image never left.
func (s *Service) restore(ctx context.Context, snap *Snapshot) error {
	img, err := s.config.Images.Image(ctx, snap.ImageDigest)
	if err == nil {
		err = s.config.Images.Hold(ctx, snapshotOwner(snap.Revision), img.Digest)
	}
	if err != nil && ctx.Err() != nil {
		return nil
	}
	next, reason := StateActive, ""
	if err != nil {
		s.config.Log.Error("the image of a sandbox's snapshot is lost", "snapshot", snap.Name, "err", err)
		next, reason = StateError, "The snapshot's image is no longer on this machine, and there is no registry it could come from: make the snapshot again."
	}
	_, err = s.move(ctx, snap.ID, next, reason, func(now *Snapshot) error { return now.still(snap) })
	return ignoreOvertaken(err)
}
