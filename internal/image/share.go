package image

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/gc"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Shared is what a builder works with in place of a store of its own, so that
// what it builds is here already and what was pulled serves its builds. All of
// it is in Namespace, which callers name in their contexts.
type Shared struct {
	Content         content.Store
	Snapshotter     snapshots.Snapshotter
	SnapshotterName string
	Applier         func(content.Provider, Take) diff.Applier
	Leases          leases.Manager
	Images          images.Store
	Collect         func(context.Context) (gc.Stats, error)
}

// Share gives a builder its parts.
func (s *Store) Share() Shared {
	return Shared{
		Content:         s.content(),
		Snapshotter:     lent{s.meta.Snapshotter(snapshotter)},
		SnapshotterName: snapshotter,
		Applier:         func(p content.Provider, t Take) diff.Applier { return applier{provider: p, take: t} },
		Leases:          s.leases,
		Images:          metadata.NewImageStore(s.meta),
		Collect:         s.collectNow,
	}
}

// Adopt lets owner hold an image that a builder has made and unpacked. Errors:
// ErrPlatform when it is for other machines; ErrUser.
func (s *Store) Adopt(ctx context.Context, owner, manifestDigest string) (*Image, error) {
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.Digest(manifestDigest)}
	if _, err := s.manifest(s.in(ctx), desc, thisMachine()); err != nil {
		return nil, fmt.Errorf("adopt image: %w", err)
	}
	img, err := s.Image(ctx, manifestDigest)
	if err != nil {
		return nil, fmt.Errorf("adopt image: %w", err)
	}
	if err := img.checkUser(); err != nil {
		return nil, fmt.Errorf("adopt image: %w", err)
	}
	return img, s.Hold(ctx, owner, manifestDigest)
}

// Writable is the directory that the mounts of a snapshot in the making write to.
func Writable(mounts []mount.Mount) (dir string, err error) {
	dir, _, err = target(mounts)
	return dir, err
}

// lent is a snapshotter that only its owner closes.
type lent struct{ snapshots.Snapshotter }

// Close implements snapshots.Snapshotter.
func (lent) Close() error { return nil }
