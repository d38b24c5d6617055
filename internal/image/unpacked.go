package image

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/google/uuid"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// snapshotLabel of a config is what keeps the layers of its image; unpacking
// sets it.
const snapshotLabel = "containerd.io/gc.ref.snapshot." + snapshotter

// unpacked is an image as it was read once. An image that was collected and
// pulled again has its layers in other directories, so what was read is used only
// while the same layers are there.
type unpacked struct {
	img    *Image
	config digest.Digest
	chain  string    // names the topmost layer; "" when there is none
	made   time.Time // when that layer was; the layers below it stay as long as it does
}

// Image returns an image that was pulled. Its layers stay as long as somebody
// holds it. Errors: ErrNotFound.
func (s *Store) Image(ctx context.Context, digest string) (*Image, error) {
	ctx = s.in(ctx)
	if known, ok := s.known.Load(digest); ok {
		u := known.(*unpacked)
		if s.check(ctx, u) == nil {
			return u.img, nil
		}
	}
	u, err := s.load(ctx, digest)
	if errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("image %s: %w", digest, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", digest, err)
	}
	s.known.Store(digest, u)
	return u.img, nil
}

// check fails unless the image is here, whole, with the layers that it had when
// it was read. It only reads.
func (s *Store) check(ctx context.Context, u *unpacked) error {
	if _, err := s.content().Info(ctx, digest.Digest(u.img.Digest)); err != nil {
		return err
	}
	if u.chain == "" {
		return nil
	}
	config, err := s.content().Info(ctx, u.config)
	if err != nil {
		return err
	}
	top, err := s.meta.Snapshotter(snapshotter).Stat(ctx, u.chain)
	if err != nil {
		return err
	}
	if config.Labels[snapshotLabel] != u.chain || !top.Created.Equal(u.made) {
		return fmt.Errorf("layer %s is another one: %w", u.chain, errdefs.ErrNotFound)
	}
	return nil
}

// load reads an image from content and snapshotter, and holds it meanwhile, so
// that nothing of it goes between two looks.
func (s *Store) load(ctx context.Context, manifestDigest string) (_ *unpacked, err error) {
	dgst, err := digest.Parse(manifestDigest)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errdefs.ErrNotFound, err)
	}
	ctx, done, err := s.temporary(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	lease, _ := leases.FromContext(ctx)
	if err := s.leases.AddResource(ctx, leases.Lease{ID: lease}, leases.Resource{ID: manifestDigest, Type: "content"}); err != nil {
		return nil, err
	}
	var manifest ocispec.Manifest
	if err := s.readJSON(ctx, ocispec.Descriptor{Digest: dgst}, &manifest); err != nil {
		return nil, err
	}
	var config ocispec.Image
	if err := s.readJSON(ctx, manifest.Config, &config); err != nil {
		return nil, err
	}
	u := &unpacked{img: &Image{Digest: manifestDigest, Config: configOf(config.Config)}, config: manifest.Config.Digest}
	if len(config.RootFS.DiffIDs) > 0 {
		u.chain = identity.ChainID(config.RootFS.DiffIDs).String()
		if err := s.layers(ctx, u); err != nil {
			return nil, err
		}
		if err := s.check(ctx, u); err != nil {
			return nil, err
		}
	}
	if u.img.Foreign, err = foreignOf(u.img.Layers); err != nil {
		return nil, err
	}
	u.img.DefaultUser, err = u.img.defaultUser()
	return u, err
}

// layers finds the directories and the size of the chain of snapshots.
func (s *Store) layers(ctx context.Context, u *unpacked) (err error) {
	sn := s.meta.Snapshotter(snapshotter)
	// A view tells the directories; they stay when it goes, as long as the
	// chain does.
	key := "view-" + uuid.NewString()
	mounts, err := sn.View(ctx, key, u.chain)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sn.Remove(context.WithoutCancel(ctx), key)) }()
	for name := u.chain; name != ""; {
		info, err := sn.Stat(ctx, name)
		if err != nil {
			return err
		}
		used, err := sn.Usage(ctx, name)
		if err != nil {
			return err
		}
		if name == u.chain {
			u.made = info.Created
		}
		u.img.Size += used.Size
		name = info.Parent
	}
	u.img.Layers = viewLayers(mounts)
	return nil
}

func viewLayers(mounts []mount.Mount) []string {
	if len(mounts) != 1 {
		return nil
	}
	return lowerDirs(mounts[0])
}
