package server

import (
	"context"

	"github.com/opendaytona/daytona/internal/image"
)

// images is the image store as snapshots need it (snapshot.Images): it knows
// how to make the one image that is not pulled from a hub.
type images struct {
	*image.Store
	base *base
}

// Pull is snapshot.Images.
func (i images) Pull(ctx context.Context, ref, owner string, progress func(string)) (*image.Image, error) {
	if i.base.is(ref) {
		if err := i.base.ensure(ctx, progress); err != nil {
			return nil, err
		}
	}
	return i.Store.Pull(ctx, ref, image.PullOptions{Owner: owner, Progress: progress})
}

// ValidateReference is snapshot.Images.
func (images) ValidateReference(ref string) error { return image.ValidateReference(ref) }

// Pinned is snapshot.Images.
func (images) Pinned(ref, digest string) (string, error) { return image.Pinned(ref, digest) }
