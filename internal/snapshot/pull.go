package snapshot

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/opendaytona/daytona/internal/controller"
)

// pull is the job that waits its turn, brings the image and settles the snapshot.
// A snapshot that was here before is brought back by digest, so that it is the
// same again.
func (s *Service) pull(ctx context.Context, t *controller.Task) error {
	snap, err := s.wanted(ctx, t, func(state State) bool { return state == StatePulling })
	if snap == nil || err != nil {
		return err
	}
	ref := snap.ImageName
	if snap.ImageDigest != "" {
		var err error
		if ref, err = s.config.Images.Pinned(ref, snap.ImageDigest); err != nil {
			return fmt.Errorf("pull snapshot %q: %w", snap.Name, err)
		}
	}
	log, err := s.startLog(snap)
	if err != nil {
		return fmt.Errorf("pull snapshot %q: %w", snap.Name, err)
	}
	defer log.Close()
	registry := s.config.Images.Registry(ref)
	t.Bounds = pullBounds(snap.OrganizationID, registry)
	waiting := sync.OnceFunc(func() { log.Line(fmt.Sprintf("Waiting for other pulls of this organization or from %s", registry)) })
	t.Moved = func(int) { waiting() } // no place: others with more room come past
	if err := t.Enter(ctx); err != nil {
		return nil // removed, or the server ends
	}
	log.Line("Pulling image " + ref)
	began := s.config.Clock.Now()
	img, err := s.config.Images.Pull(ctx, snap.OrganizationID, ref, snapshotOwner(snap.Revision), log.Line)
	switch {
	case err != nil && ctx.Err() != nil:
		// The removal has queued it again; a server that stops resumes it.
		return nil
	case err != nil:
		reason := reasonOf(err)
		s.config.Log.Warn("pull failed", "snapshot", snap.Name, "image", ref, "err", err)
		log.Line(reason)
		return s.failed(ctx, snap, StateError, reason)
	}
	log.Line(fmt.Sprintf("Pulled image %s (%s) in %s", ref, img.Digest, s.config.Clock.Since(began).Round(time.Millisecond)))
	s.warn(ctx, log, img, snap)
	return s.made(ctx, snap, img)
}
