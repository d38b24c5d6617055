package space

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Floor is what is left for the database and other small files; what makes new
// rows is refused below it, and what deletes some is not.
const Floor = 128 << 20

// sqliteFull is SQLITE_FULL of SQLite's result codes.
const sqliteFull = 13

// IsFull reports whether err says that a filesystem, or the database on it, has
// no room, or less than the reserve.
func IsFull(err error) bool {
	if errors.Is(err, ErrLow) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return true
	}
	var coded interface{ Code() int }
	return errors.As(err, &coded) && coded.Code()&0xff == sqliteFull
}

// Require fails with ErrLow unless the filesystem of dir has n bytes beyond keep,
// and inodes.
// One that cannot be measured has them.
func Require(dir string, n, keep int64) error {
	free, err := Free(dir)
	if err == nil && free-n < keep {
		return ErrLow
	}
	if keep > 0 && LowOnFiles(dir) {
		return ErrLowFiles
	}
	return nil
}

// Ballast is a file that takes space while there is enough, to have it when
// there is none: deleting takes a little of it first.
type Ballast struct {
	Path string
	Size int64
	mu   sync.Mutex
}

// Drop gives the space of the ballast back, and reports whether there was any.
func (b *Ballast) Drop() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return os.Remove(b.Path) == nil
}

// Restore takes it again where there is enough.
func (b *Ballast) Restore() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if info, err := os.Stat(b.Path); err == nil && info.Size() == b.Size {
		return nil
	}
	f, err := os.OpenFile(b.Path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("make ballast: %w", err)
	}
	defer f.Close()
	if Require(b.Path, b.Size, Reserve) != nil {
		return os.Remove(b.Path)
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, b.Size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return os.Remove(b.Path) // it would be a hole
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make ballast: %w", err), os.Remove(b.Path))
	}
	return nil
}
