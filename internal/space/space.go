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

// reserveFiles is how many files more can be made than are, and a twentieth of
// all on filesystems that have few.
const reserveFiles = 1 << 16

// Errors of what would take of the reserve; errors.Is takes both for ErrLow.
var (
	ErrLow      = errors.New("the server has less than 1 GiB of disk space left")
	ErrLowFiles = fmt.Errorf("%w, or almost no inodes: its filesystem can hold no more files", ErrLow)
)

const period = 100 * time.Millisecond

// Free is how much the filesystem of dir has left.
func Free(dir string) (bytes int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// LowOnFiles tells whether the filesystem of dir has come to its reserve of
// inodes. Some filesystems make them as they need them, and never do.
func LowOnFiles(dir string) bool {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Files == 0 {
		return false
	}
	return st.Ffree < min(st.Files/20, reserveFiles)
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
		if LowOnFiles(dir) {
			cancel(ErrLowFiles)
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
