package build

import (
	"context"
	"fmt"

	"github.com/moby/buildkit/client"

	"github.com/opendaytona/daytona/internal/space"
)

// makeSpace takes from the cache until twice the reserve is free, or nothing
// is left of it.
func (b *Builder) makeSpace(ctx context.Context) error {
	err := b.client.Prune(ctx, nil, client.PruneAll, client.WithKeepOpt(0, 0, b.CacheSize, 2*space.Reserve))
	if err != nil {
		return fmt.Errorf("free the cache of builds: %w", err)
	}
	return b.Images.Collect(ctx)
}

// low tells whether there is less than twice the reserve.
func (b *Builder) low() bool {
	free, err := space.Free(b.Dir)
	return err == nil && free < 2*space.Reserve
}
