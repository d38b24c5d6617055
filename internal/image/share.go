package image

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/gc"
)

// Shared is what a builder works with in place of a store of its own, so that
// what it builds is here already and what was pulled serves its builds. All of
// it is in Namespace, but for Images, whose callers must name it themselves.
type Shared struct {
	Content         content.Store
	Snapshotter     snapshots.Snapshotter
	SnapshotterName string
	Applier         diff.Applier
	Leases          leases.Manager
	Images          images.Store
	Collect         func(context.Context) (gc.Stats, error)
	Hosts           docker.RegistryHosts // without credentials
}

// Share gives a builder its parts.
func (s *Store) Share() Shared {
	return Shared{
		Content:         s.content(),
		Snapshotter:     s.meta.Snapshotter(snapshotter),
		SnapshotterName: snapshotter,
		Applier:         applier{provider: s.content()},
		Leases:          s.leases,
		Images:          metadata.NewImageStore(s.meta),
		Collect:         s.collectNow,
		Hosts:           s.hosts(nil),
	}
}

// Adopt lets owner hold an image that a builder has made and unpacked.
func (s *Store) Adopt(ctx context.Context, owner, digest string) (*Image, error) {
	img, err := s.Image(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("adopt image: %w", err)
	}
	return img, s.Hold(ctx, owner, digest)
}
