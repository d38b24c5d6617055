package fs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/filecopy"
)

// copyTree copies from to to with owners, modes, times, extended attributes,
// holes and special files. Hard links become files of their own. As with mv, what
// the user may not give away becomes the user's own, and then runs as nobody else.
func copyTree(ctx context.Context, from, to string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: from, Err: err}
	}
	var err error
	kind := st.Mode & unix.S_IFMT
	switch kind {
	case unix.S_IFREG:
		err = filecopy.Regular(ctx, to, from)
	case unix.S_IFDIR:
		err = copyDir(ctx, from, to)
	default:
		err = filecopy.Special(to, from, &st)
	}
	if err != nil {
		return err
	}
	mode := st.Mode & 0o7777
	switch err := os.Lchown(to, int(st.Uid), int(st.Gid)); {
	case errors.Is(err, os.ErrPermission):
		mode &^= unix.S_ISUID | unix.S_ISGID
	case err != nil:
		return err
	}
	if kind != unix.S_IFLNK {
		if err := unix.Chmod(to, mode); err != nil {
			return &os.PathError{Op: "chmod", Path: to, Err: err}
		}
		copyAttributes(from, to)
	}
	return filecopy.Times(to, &st)
}

func copyDir(ctx context.Context, from, to string) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := copyTree(ctx, filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// copyAttributes copies what the target's file system takes, such as file
// capabilities; not all do.
func copyAttributes(from, to string) {
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(from, names)
	if err != nil {
		return
	}
	value := make([]byte, 64<<10)
	for _, name := range strings.Split(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		if m, err := unix.Lgetxattr(from, name, value); err == nil {
			_ = unix.Lsetxattr(to, name, value[:m], 0)
		}
	}
}
