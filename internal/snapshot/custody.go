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

// OwnedRevision is the revision of the content that an owner of an image holds
// it for; ok is false for owners of another kind.
func OwnedRevision(owner string) (revision string, ok bool) {
	return strings.CutPrefix(owner, snapshotOwnerPrefix)
}

// OwnedBySandboxes reports whether an owner holds the image for sandboxes.
func OwnedBySandboxes(owner string) bool { return strings.HasPrefix(owner, sandboxesOwnerPrefix) }

func snapshotOwner(revision string) string { return snapshotOwnerPrefix + revision }
func sandboxesOwner(digest string) string  { return sandboxesOwnerPrefix + digest }

// snapshotGone lets go of what the snapshot held. Its row must already say that
// no new sandbox can be made from it.
func (c *custody) snapshotGone(ctx context.Context, s *Snapshot) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.ImageDigest != "" {
		used, err := c.store.ImageInUse(ctx, s.ImageDigest)
		if err != nil {
			return fmt.Errorf("look for sandboxes of image %s: %w", s.ImageDigest, err)
		}
		if used {
			if err := c.images.Hold(ctx, sandboxesOwner(s.ImageDigest), s.ImageDigest); err != nil {
				return fmt.Errorf("keep image %s for its sandboxes: %w", s.ImageDigest, err)
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
	used, err := c.store.ImageInUse(ctx, digest)
	if err != nil {
		return fmt.Errorf("look for sandboxes of image %s: %w", digest, err)
	}
	if used {
		return nil
	}
	return c.images.Release(ctx, sandboxesOwner(digest))
}

// keep holds an image for the sandboxes that stand on it, at least one of which
// has its row.
func (c *custody) keep(ctx context.Context, digest string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.images.Hold(ctx, sandboxesOwner(digest), digest)
}
