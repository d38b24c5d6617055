// Package filecopy makes a file the same as another one: its data with the holes,
// or what it is when it has none. Owners, modes and attributes are the caller's
// matter, as is the walk through a tree. It imports no other package of the project.
package filecopy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// chunk is what is copied between two looks at whether to go on.
const chunk = 16 << 20

// Regular makes to, which must not exist, a file of the data of from. Holes stay
// holes, for a file of a terabyte may take nothing.
func Regular(ctx context.Context, to, from string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	for at := int64(0); ; {
		data, hole, err := extent(source, at)
		if errors.Is(err, io.EOF) {
			return target.Truncate(hole)
		}
		if err != nil {
			return err
		}
		if at, err = copyRange(ctx, target, source, data, hole); err != nil {
			return err
		}
	}
}

// extent is where the first data at or after at begins and ends. When there is
// none it is io.EOF, and hole is where the file ends.
func extent(f *os.File, at int64) (data, hole int64, err error) {
	data, err = f.Seek(at, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		end, err := f.Seek(0, io.SeekEnd)
		if err != nil {
			return 0, 0, err
		}
		return 0, end, io.EOF
	}
	if err != nil {
		return 0, 0, err
	}
	hole, err = f.Seek(data, unix.SEEK_HOLE)
	return data, hole, err
}

func copyRange(ctx context.Context, to, from *os.File, at, end int64) (int64, error) {
	for at < end {
		if ctx.Err() != nil {
			return at, context.Cause(ctx)
		}
		n, err := io.Copy(io.NewOffsetWriter(to, at), io.NewSectionReader(from, at, min(end-at, chunk)))
		if err != nil {
			return at, err
		}
		if n == 0 {
			return at, fmt.Errorf("copy %s: %w", from.Name(), io.ErrUnexpectedEOF)
		}
		at += n
	}
	return at, nil
}

// Special makes to, which must not exist, the same link, device, pipe or socket
// as from, of which st tells.
func Special(to, from string, st *unix.Stat_t) error {
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	if err := unix.Mknod(to, st.Mode, int(st.Rdev)); err != nil {
		return &os.PathError{Op: "mknod", Path: to, Err: err}
	}
	return nil
}

// Times gives to the times of which st tells; to may be a link.
func Times(to string, st *unix.Stat_t) error {
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, to, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "set the times of", Path: to, Err: err}
	}
	return nil
}
