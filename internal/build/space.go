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
		errs = append(errs, b.prune(ctx, scope, b.scarce()))
	}
	return errors.Join(append(errs, b.Images.Collect(ctx), b.sweep(ctx))...)
}

// prune takes from a scope's cache what is too much, or all of it that no build
// is using.
func (b *Builder) prune(ctx context.Context, scope string, all bool) error {
	c, leave, err := b.use(ctx, scope)
	if err != nil {
		return err
	}
	defer leave()
	keep := client.WithKeepOpt(0, 0, b.CacheSize, 2*space.Reserve)
	if all {
		keep = client.WithKeepOpt(0, 0, 0, 0)
	}
	if err := c.client.Prune(ctx, nil, client.PruneAll, keep); err != nil {
		return fmt.Errorf("free the cache of builds: %w", err)
	}
	return nil
}

// low tells whether there is less than twice the reserve.
func (b *Builder) low() bool {
	free, err := space.Free(b.Dir)
	return err == nil && free < 2*space.Reserve || b.scarce()
}

// scarce tells whether there is too little of what a cache's size does not tell:
// of inodes, or of the disks' pool.
func (b *Builder) scarce() bool {
	free, err := b.Disks.Free()
	return err == nil && free < 2*poolReserve || space.LowOnFiles(b.Dir)
}
