// Package space keeps pulls and builds from filling a filesystem. One that did
// would hurt more than itself: the sandboxes' disks grow on the same one, and the
// databases could not even note that its files are gone. It imports nothing of
// the house.
package space

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"
)

// Reserve is what stays free, in bytes.
const Reserve = 1 << 30

// ErrLow ends what would take of the reserve.
var ErrLow = errors.New("the server has less than 1 GiB of disk space left")

const period = 100 * time.Millisecond

// Free is how much the filesystem of dir has left.
func Free(dir string) (bytes int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// Watch cancels with ErrLow when the filesystem of dir comes to its reserve; it
// returns then, or with ctx.
func Watch(ctx context.Context, dir string, log *slog.Logger, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		free, err := Free(dir)
		if err != nil {
			log.Error("measure free space", "err", err)
		} else if free < Reserve {
			cancel(ErrLow)
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
