package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A pool in a file must never find that the filesystem below has no room for
// what it was promised: btrfs answers a write that fails by making all of itself
// read-only, every sandbox's disk with it. So the file's space is allocated before
// btrfs may use it, and nothing gives it back: the pool is mounted without
// discards, and its loop device takes none.

// errUnbacked says that the filesystem below cannot allocate space.
var errUnbacked = errors.New("the filesystem below the disk pool cannot allocate space for it")

// allocate makes sure that the first size bytes of the file are there, keeping
// what they hold. Errors: unix.ENOSPC, errUnbacked.
func allocate(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	for errors.Is(err, unix.EINTR) {
		err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = errUnbacked
	}
	if err != nil {
		return fmt.Errorf("allocate %d MiB for %s: %w", size>>20, f.Name(), err)
	}
	return nil
}

// lacking is how much of the file is not there yet.
func lacking(f *os.File) (missing, size int64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, 0, err
	}
	return max(0, st.Size-st.Blocks*512), st.Size, nil
}

// spare is what the pool may still take of the filesystem below.
func spare(f *os.File, keep int64) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return 0, err
	}
	return max(0, int64(st.Bavail)*st.Bsize-keep), nil
}

// back allocates what the file of a mounted pool lacks: it was made by a server
// that did not, or something has discarded a part of it. A pool that is larger than
// what is there to back it is made smaller, as far as its content allows.
func (m *loopMount) back(f *os.File, c Config) error {
	if c.Sparse {
		return nil
	}
	missing, size, err := lacking(f)
	if err != nil {
		return err
	}
	room, err := spare(f, c.KeepFree)
	if err != nil {
		return err
	}
	if c.Size == 0 {
		room /= 2 // as for a new one
	}
	if missing > room {
		less := (size - missing + room) &^ 0xfffff
		err := errors.New("it would be too small")
		if less >= minimum {
			err = m.shrink(f, less)
		}
		if err == nil {
			c.Logger.Warn("the disk pool is made as large as the space that is there for it", "was MiB", size>>20, "is MiB", less>>20)
			size = less
		} else {
			c.Logger.Warn("make the disk pool as large as the space that is there for it", "err", err)
		}
	}
	// Blocks of the filesystem's own are counted as the file's, so a file that
	// seems whole may have holes.
	err = allocate(f, size)
	switch {
	case errors.Is(err, errUnbacked):
		c.Logger.Warn("THE SPACE OF THE DISK POOL CANNOT BE RESERVED: when its filesystem is full, all sandboxes' disks fail at once", "err", err)
		return nil
	case errors.Is(err, unix.ENOSPC):
		c.Logger.Error("THE DISK POOL IS LARGER THAN THE SPACE THAT IS THERE FOR IT: when that is used up, all sandboxes' disks fail at once; make room on the filesystem of the data directory, then restart the server", "err", err)
		return nil
	}
	return err
}

// shrink makes the pool smaller: first the filesystem, then the file, then its
// device. A crash in between leaves a file that is too large, which is found again.
func (m *loopMount) shrink(f *os.File, size int64) error {
	dir, err := os.Open(m.target)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := resizeDevice(dir, fmt.Sprint(size)); err != nil {
		return fmt.Errorf("make the disk pool smaller: %w", err)
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	dev, err := findLoop(f)
	if err != nil || dev == nil {
		return err
	}
	defer dev.Close()
	return unix.IoctlSetInt(int(dev.Fd()), unix.LOOP_SET_CAPACITY, 0)
}

// refuseDiscards keeps everybody, a nightly fstrim too, from giving the pool's
// space back to the filesystem below.
func refuseDiscards(dev *os.File) error {
	file := filepath.Join("/sys/block", strings.TrimPrefix(dev.Name(), "/dev/"), "queue/discard_max_bytes")
	err := os.WriteFile(file, []byte("0"), 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
