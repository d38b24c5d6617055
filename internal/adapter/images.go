// Package adapter fits the parts of the server to the ports that the domain names:
// images, builds and their contexts, registries, quarantine, events. An adapter
// translates and decides nothing.
package adapter

import (
	"context"
	"errors"
	"io"

	"github.com/opendaytona/daytona/internal/defaultimage"
	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/image/hosted"
	"github.com/opendaytona/daytona/internal/registry"
)

// Images is the image store as snapshots need it (snapshot.Images): it knows
// organizations' credentials, how to make the images that are not pulled
// from a hub, and which were pushed to this server.
type Images struct {
	*image.Store
	Default    *defaultimage.Image
	Pushed     *hosted.Registry
	Registries *registry.Service
}

// Captures makes images of sandboxes (snapshot.Captures): the engine tells what
// a sandbox changed, the store makes a layer of it.
type Captures struct {
	engine.Capturer
	Images *image.Store
}

// Commit is snapshot.Captures.
func (c Captures) Commit(ctx context.Context, name, base, owner string) (*image.Image, error) {
	return c.Images.Commit(ctx, owner, base, func(ctx context.Context, layer io.Writer) error {
		return c.Changes(ctx, name, base, layer)
	})
}

// Pull is snapshot.Images.
func (i Images) Pull(ctx context.Context, organizationID, ref, owner string, progress func(string)) (*image.Image, error) {
	img, ours, err := i.Default.Pull(ctx, ref, owner, progress)
	if ours || err != nil {
		return img, err
	}
	resolver, done, err := i.Pushed.Resolver(organizationID, ref)
	if err != nil {
		kind := image.KindOther
		if errors.Is(err, hosted.ErrForeign) {
			kind = image.KindUnauthorized
		}
		return nil, &image.PullError{Kind: kind, Reference: ref, Err: err}
	}
	defer done()
	return i.Store.Pull(ctx, ref, image.PullOptions{Owner: owner, Credentials: credentialsOf(i.Registries, organizationID), Progress: progress, Resolver: resolver})
}

// ValidateReference is snapshot.Images.
func (Images) ValidateReference(ref string) error { return image.ValidateReference(ref) }

// Registry is snapshot.Images.
func (Images) Registry(ref string) string { return image.RegistryOf(ref) }

// Pinned is snapshot.Images.
func (Images) Pinned(ref, digest string) (string, error) { return image.Pinned(ref, digest) }
