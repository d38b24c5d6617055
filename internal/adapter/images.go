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
	"github.com/opendaytona/daytona/internal/oci"
	"github.com/opendaytona/daytona/internal/registrycreds"
)

// Images is the image store as snapshots need it (snapshot.Images): it knows
// organizations' credentials, how to make the images that are not pulled
// from a hub, and which were pushed to this server.
type Images struct {
	*image.Store
	Default    *defaultimage.Image
	Pushed     *hosted.Registry
	Registries *registrycreds.Service
}

// Captures makes images of sandboxes (snapshot.Captures): the engine tells what
// a sandbox changed, the store makes a layer of it.
type Captures struct {
	engine.Capturer
	Images *image.Store
}

// Commit is snapshot.Captures.
func (c Captures) Commit(ctx context.Context, name, base, owner string) (*oci.Image, error) {
	return described(c.Images.Commit(ctx, owner, base, func(ctx context.Context, layer io.Writer) error {
		return c.Changes(ctx, name, base, layer)
	}))
}

func described(img *image.Image, err error) (*oci.Image, error) {
	if err != nil {
		return nil, err
	}
	return img.Describe(), nil
}

// Pull is snapshot.Images.
func (i Images) Pull(ctx context.Context, organizationID, ref, owner string, progress func(string)) (*oci.Image, error) {
	img, ours, err := i.Default.Pull(ctx, ref, owner, progress)
	if ours || err != nil {
		return described(img, err)
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
	return described(i.Store.Pull(ctx, ref, image.PullOptions{Owner: owner, Credentials: credentialsOf(i.Registries, organizationID), Progress: progress, Resolver: resolver}))
}

// ValidateReference is snapshot.Images.
func (Images) ValidateReference(ref string) error { return oci.ValidateReference(ref) }

// Registry is snapshot.Images.
func (Images) Registry(ref string) string { return oci.RegistryOf(ref) }

// Pinned is snapshot.Images.
func (Images) Pinned(ref, digest string) (string, error) { return oci.Pinned(ref, digest) }

// Image is snapshot.Images.
func (i Images) Image(ctx context.Context, digest string) (*oci.Image, error) {
	return described(i.Store.Image(ctx, digest))
}

// Contents is snapshot.Images.
func (i Images) Contents(ctx context.Context, digest string) (oci.Contents, error) {
	img, err := i.Store.Image(ctx, digest)
	if err != nil {
		return nil, err // not img: a nil *Image would be contents
	}
	return img, nil
}
