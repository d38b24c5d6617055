package build

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/buildkit/client"

	"github.com/opendaytona/daytona/internal/space"
)

// makeSpace takes from the caches until twice the reserve is free, or nothing
// is left of them.
func (b *Builder) makeSpace(ctx context.Context) error {
	scopes, err := b.scopes()
	if err != nil {
		return fmt.Errorf("free the cache of builds: %w", err)
	}
	var errs []error
	for _, scope := range scopes {
		errs = append(errs, b.prune(ctx, scope))
	}
	return errors.Join(append(errs, b.Images.Collect(ctx))...)
}

func (b *Builder) prune(ctx context.Context, scope string) error {
	c, leave, err := b.use(ctx, scope)
	if err != nil {
		return err
	}
	defer leave()
	if err := c.client.Prune(ctx, nil, client.PruneAll, client.WithKeepOpt(0, 0, b.CacheSize, 2*space.Reserve)); err != nil {
		return fmt.Errorf("free the cache of builds: %w", err)
	}
	return nil
}

// low tells whether there is less than twice the reserve.
func (b *Builder) low() bool {
	free, err := space.Free(b.Dir)
	return err == nil && free < 2*space.Reserve
}
