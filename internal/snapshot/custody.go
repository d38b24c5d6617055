package snapshot

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// custody decides who holds an image. An active snapshot holds its own. When it
// lets go while sandboxes stand on the image, a holder named after the digest
// takes over until the last of them is gone; so making a sandbox from an active
// snapshot needs no write to the image store.
type custody struct {
	store  Store
	images Images
	mu     sync.Mutex // between counting the sandboxes and acting on it
}

const (
	snapshotOwnerPrefix  = "snapshot/"
	sandboxesOwnerPrefix = "sandboxes-of/"
)

func snapshotOwner(revision string) string { return snapshotOwnerPrefix + revision }
func sandboxesOwner(digest string) string  { return sandboxesOwnerPrefix + digest }

// snapshotGone lets go of what the snapshot held. Its row must already say that
// no new sandbox can be made from it.
func (c *custody) snapshotGone(ctx context.Context, s *Snapshot) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.ImageDigest != "" {
		n, err := c.store.SandboxesOfImage(ctx, s.ImageDigest)
		if err != nil {
			return fmt.Errorf("count sandboxes of image %s: %w", s.ImageDigest, err)
		}
		if n > 0 {
			if err := c.images.Hold(ctx, sandboxesOwner(s.ImageDigest), s.ImageDigest); err != nil {
				return fmt.Errorf("keep image %s for %d sandboxes: %w", s.ImageDigest, n, err)
			}
		}
	}
	return c.images.Release(ctx, snapshotOwner(s.Revision))
}

// sandboxGone lets go of an image that only sandboxes held, if that was the
// last of them.
func (c *custody) sandboxGone(ctx context.Context, digest string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.store.SandboxesOfImage(ctx, digest)
	if err != nil {
		return fmt.Errorf("count sandboxes of image %s: %w", digest, err)
	}
	if n > 0 {
		return nil
	}
	return c.images.Release(ctx, sandboxesOwner(digest))
}

// recover releases the owners that no row stands behind (a crash came between),
// and reports the active snapshots whose image is not held any more.
func (c *custody) recover(ctx context.Context, all []*Snapshot) (lost []*Snapshot, err error) {
	owners, err := c.images.Owners(ctx)
	if err != nil {
		return nil, fmt.Errorf("list image owners: %w", err)
	}
	holds := make(map[string]bool)
	for _, s := range all {
		if s.keepsImage() {
			holds[snapshotOwner(s.Revision)] = true
		}
		switch s.State {
		case StateActive, StatePulling, StateBuilding, StatePending, StateRemoving:
			holds[snapshotOwner(s.Revision)] = true
		}
		if _, held := owners[snapshotOwner(s.Revision)]; s.State == StateActive && !held {
			lost = append(lost, s)
		}
	}
	for owner, digest := range owners {
		switch {
		case strings.HasPrefix(owner, snapshotOwnerPrefix) && !holds[owner]:
			err = c.images.Release(ctx, owner)
		case strings.HasPrefix(owner, sandboxesOwnerPrefix):
			err = c.sandboxGone(ctx, digest)
		}
		if err != nil {
			return nil, fmt.Errorf("release image owner %s: %w", owner, err)
		}
	}
	return lost, nil
}
