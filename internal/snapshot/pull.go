package snapshot

import (
	"context"
	"fmt"
	"time"
)

// How many pulls go on at once. A pull lasts as long as its registry likes, so a
// slow one, or somebody who pulls a lot, takes places of their own only.
const (
	pullsAtOnce             = 64
	pullsOfOrganization     = 16
	pullsOfRegistry         = 16
	pullsOfRegistryForOwner = 8 // half, so that no registry keeps an organization from the others
)

func pullBounds(organizationID, registry string) []bound {
	return []bound{
		{"", pullsAtOnce},
		{"organization " + organizationID, pullsOfOrganization},
		{"registry " + registry, pullsOfRegistry},
		{"organization " + organizationID + " registry " + registry, pullsOfRegistryForOwner},
	}
}

// pull waits its turn, brings the image and settles the snapshot. A snapshot that
// was here before is brought back by digest, so that it is the same again.
func (s *Service) pull(ctx context.Context, snap *Snapshot) error {
	if current, err := s.current(ctx, snap); !current || err != nil {
		return err
	}
	ref := snap.ImageName
	if snap.ImageDigest != "" {
		var err error
		if ref, err = s.Images.Pinned(ref, snap.ImageDigest); err != nil {
			return fmt.Errorf("pull snapshot %q: %w", snap.Name, err)
		}
	}
	log, err := s.startLog(snap)
	if err != nil {
		return fmt.Errorf("pull snapshot %q: %w", snap.Name, err)
	}
	defer log.Close()
	registry := s.Images.Registry(ref)
	told := false
	leave, err := s.pulls.enter(ctx, func(int) {
		if !told { // no place: others with more room come past
			log.Line(fmt.Sprintf("Waiting for other pulls of this organization or from %s", registry))
		}
		told = true
	}, pullBounds(snap.OrganizationID, registry)...)
	if err != nil {
		return nil // removed, or the server ends
	}
	defer leave()
	log.Line("Pulling image " + ref)
	began := s.Clock.Now()
	img, err := s.Images.Pull(ctx, snap.OrganizationID, ref, snapshotOwner(snap.Revision), log.Line)
	switch {
	case err != nil && ctx.Err() != nil:
		// The removal has queued it again; a server that stops resumes it.
		return nil
	case err != nil:
		reason := reasonOf(err)
		s.Log.Warn("pull failed", "snapshot", snap.Name, "image", ref, "err", err)
		log.Line(reason)
		return s.failed(ctx, snap, StateError, reason)
	}
	log.Line(fmt.Sprintf("Pulled image %s (%s) in %s", ref, img.Digest, s.Clock.Since(began).Round(time.Millisecond)))
	warn(log, img, snap)
	return s.made(ctx, snap, img)
}
