package snapshot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opendaytona/daytona/internal/buildlog"
	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/fault"
)

// ForBuild returns the organization's transient snapshot of a build, making one
// where there is none or the last one failed. Errors: as Create's.
func (s *Service) ForBuild(ctx context.Context, organizationID, regionID string, b BuildParams) (*Snapshot, error) {
	if err := b.validate(); err != nil {
		return nil, err
	}
	build, err := s.newBuild(ctx, organizationID, b)
	if err != nil {
		return nil, err
	}
	ref := build.Ref
	for range 3 {
		snap, err := s.config.Store.BuiltSnapshot(ctx, ref, true)
		if err == nil && !snap.State.Failed() {
			return snap, nil
		}
		if err == nil {
			err = s.Delete(ctx, organizationID, snap.ID, false)
		}
		if err != nil && !fault.Is(err, fault.KindNotFound) {
			return nil, err
		}
		snap, err = s.Create(ctx, organizationID, false, CreateParams{Name: ref, RegionID: regionID, Build: &b, transient: true, build: build})
		if !fault.Is(err, fault.KindConflict) {
			return snap, err
		}
	}
	return nil, fault.Conflict("SNAPSHOT_STATE", "The same build is being created and removed concurrently: try again.")
}

// newBuild is the build of what is there now.
func (s *Service) newBuild(ctx context.Context, organizationID string, p BuildParams) (*Build, error) {
	versions, err := s.config.Builder.Versions(ctx, organizationID, p.Contexts)
	if err != nil {
		return nil, fmt.Errorf("look for build contexts: %w", err)
	}
	return newBuild(organizationID, p, versions), nil
}

// build is the job that waits its turn, builds the image and settles the snapshot.
// An error is the server's; a build that fails is the snapshot's state.
func (s *Service) build(ctx context.Context, t *controller.Task) error {
	snap, err := s.wanted(ctx, t, func(state State) bool { return state == StatePending || state == StateBuilding })
	if snap == nil || err != nil {
		return err
	}
	log, err := s.startLog(snap)
	if err != nil {
		return err
	}
	defer log.Close()
	// The same is built once. Before the queue: who waits for another build takes
	// no builder.
	unlock, err := s.equal.Lock(ctx, snap.Build.Ref)
	if err != nil {
		return nil // removed, or the server ends
	}
	defer unlock()
	t.Moved = func(place int) {
		log.Line(fmt.Sprintf("Waiting for a free builder: place %d in the queue", place))
	}
	if err := t.Enter(ctx); err != nil {
		return nil // removed, or the server ends
	}
	if snap.State == StatePending {
		if _, err := s.move(ctx, snap.ID, StateBuilding, "", func(now *Snapshot) error { return now.still(snap) }); err != nil {
			return ignoreOvertaken(err)
		}
	}
	if done, err := s.reuse(ctx, snap, log); done || err != nil {
		return err
	}
	began := s.config.Clock.Now()
	img, err := s.config.Builder.Build(ctx, BuildRequest{
		ID: snap.Revision, OrganizationID: snap.OrganizationID, Owner: snapshotOwner(snap.Revision), Build: *snap.Build, Log: log, Place: t,
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return nil
	case err != nil:
		reason := reasonOf(err)
		s.config.Log.Warn("build failed", "snapshot", snap.Name, "err", err)
		log.Line(reason)
		return s.failed(ctx, snap, StateBuildFailed, reason)
	}
	log.Line(fmt.Sprintf("Built image %s in %s", img.Digest, s.config.Clock.Since(began).Round(time.Millisecond)))
	s.warn(ctx, log, img, snap)
	return s.made(ctx, snap, img)
}

// reuse settles the snapshot with what another one of the same build has.
func (s *Service) reuse(ctx context.Context, snap *Snapshot, log *buildlog.Writer) (done bool, err error) {
	twin, err := s.config.Store.BuiltSnapshot(ctx, snap.Build.Ref, false)
	if fault.Is(err, fault.KindNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	img, err := s.config.Images.Image(ctx, twin.ImageDigest)
	if err == nil {
		err = s.config.Images.Hold(ctx, snapshotOwner(snap.Revision), twin.ImageDigest)
	}
	if err != nil {
		s.config.Log.Warn("the image of the same build is not here, building again", "snapshot", snap.Name, "twin", twin.Name, "err", err)
		return false, nil
	}
	log.Line(fmt.Sprintf("The same build was made before: image %s", twin.ImageDigest))
	s.warn(ctx, log, img, snap)
	return true, s.made(ctx, snap, img)
}

// transientLife is how long an unused transient snapshot stays.
const transientLife = 24 * time.Hour

func (s *Service) expireTransient(ctx context.Context) error {
	unused, err := s.config.Store.UnusedSnapshots(ctx, s.config.Clock.Now().Add(-transientLife), true)
	if err != nil {
		return fmt.Errorf("expire snapshots: %w", err)
	}
	var failed []error
	for _, snap := range unused {
		_, err := s.move(ctx, snap.ID, StateRemoving, "", nil)
		failed = append(failed, ignoreOvertaken(err))
	}
	return errors.Join(failed...)
}
