package build

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moby/buildkit/client"
	"golang.org/x/sys/unix"
)

// A build that filled the filesystem would hurt more than itself: the sandboxes'
// disks grow on the same one, and the databases could not even note that the
// build's files are gone. So builds end while there still is some space.
const (
	spaceReserve = 1 << 30 // bytes
	spacePeriod  = 100 * time.Millisecond
)

// errSpace ends a build that would fill the disk.
var errSpace = errors.New("the server has less than 1 GiB of disk space left")

// watchSpace ends a build by cancel when the space comes to its end; it
// returns with ctx.
func (b *Builder) watchSpace(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(spacePeriod)
	defer tick.Stop()
	for {
		free, err := freeSpace(b.Dir)
		if err != nil {
			b.Log.Error("measure free space", "err", err)
		} else if free < spaceReserve {
			cancel(errSpace)
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func freeSpace(dir string) (bytes int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// makeSpace takes from the cache until twice the reserve is free, or nothing
// is left of it.
func (b *Builder) makeSpace(ctx context.Context) error {
	err := b.client.Prune(ctx, nil, client.PruneAll, client.WithKeepOpt(0, 0, b.CacheSize, 2*spaceReserve))
	if err != nil {
		return fmt.Errorf("free the cache of builds: %w", err)
	}
	return b.Images.Collect(ctx)
}

// low tells whether there is less than twice the reserve.
func (b *Builder) low() bool {
	free, err := freeSpace(b.Dir)
	return err == nil && free < 2*spaceReserve
}
