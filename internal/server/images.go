package server

import (
	"context"
	"errors"
	"io"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/image/hosted"
	"github.com/opendaytona/daytona/internal/registry"
)

// images is the image store as snapshots need it (snapshot.Images): it knows
// organizations' credentials, how to make the images that are not pulled
// from a hub, and which were pushed to this server.
type images struct {
	*image.Store
	base       *base
	made       *made
	hosted     *hosted.Registry
	registries *registry.Service
}

// captures makes images of sandboxes (snapshot.Captures): the engine tells what
// a sandbox changed, the store makes a layer of it.
type captures struct {
	engine.Capturer
	images *image.Store
}

// Commit is snapshot.Captures.
func (c captures) Commit(ctx context.Context, name, base, owner string) (*image.Image, error) {
	return c.images.Commit(ctx, owner, base, func(ctx context.Context, layer io.Writer) error {
		return c.Changes(ctx, name, base, layer)
	})
}

// Pull is snapshot.Images.
func (i images) Pull(ctx context.Context, organizationID, ref, owner string, progress func(string)) (*image.Image, error) {
	if variant, ok := i.made.variant(ref); ok {
		return i.made.pull(ctx, ref, variant, owner, progress)
	}
	if i.base.is(ref) {
		if err := i.base.ensure(ctx, progress); err != nil {
			return nil, err
		}
	}
	resolver, done, err := i.hosted.Resolver(organizationID, ref)
	if err != nil {
		kind := image.KindOther
		if errors.Is(err, hosted.ErrForeign) {
			kind = image.KindUnauthorized
		}
		return nil, &image.PullError{Kind: kind, Reference: ref, Err: err}
	}
	defer done()
	return i.Store.Pull(ctx, ref, image.PullOptions{Owner: owner, Credentials: credentialsOf(i.registries, organizationID), Progress: progress, Resolver: resolver})
}

// ValidateReference is snapshot.Images.
func (images) ValidateReference(ref string) error { return image.ValidateReference(ref) }

// Registry is snapshot.Images.
func (images) Registry(ref string) string { return image.RegistryOf(ref) }

// Pinned is snapshot.Images.
func (images) Pinned(ref, digest string) (string, error) { return image.Pinned(ref, digest) }
