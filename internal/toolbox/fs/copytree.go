package fs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// copyTree copies from to to with owners, modes, times, extended attributes and
// special files. Hard links become files of their own. As with mv, what the user
// may not give away becomes the user's own, and then runs as nobody else.
func copyTree(ctx context.Context, from, to string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("copy %s: no file status", from)
	}
	switch info.Mode().Type() {
	case 0:
		err = copyFile(from, to)
	case os.ModeDir:
		err = copyDir(ctx, from, to)
	case os.ModeSymlink:
		var target string
		if target, err = os.Readlink(from); err == nil {
			err = os.Symlink(target, to)
		}
	default:
		if err = unix.Mknod(to, st.Mode, int(st.Rdev)); err != nil {
			err = &os.PathError{Op: "mknod", Path: to, Err: err}
		}
	}
	if err != nil {
		return err
	}
	mode := info.Mode()
	switch err := os.Lchown(to, int(st.Uid), int(st.Gid)); {
	case errors.Is(err, os.ErrPermission):
		mode &^= os.ModeSetuid | os.ModeSetgid
	case err != nil:
		return err
	}
	if mode.Type() != os.ModeSymlink {
		if err := os.Chmod(to, mode); err != nil {
			return err
		}
		copyAttributes(from, to)
	}
	times := []unix.Timespec{{Sec: st.Atim.Sec, Nsec: st.Atim.Nsec}, {Sec: st.Mtim.Sec, Nsec: st.Mtim.Nsec}}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, to, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "utimes", Path: to, Err: err}
	}
	return nil
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

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	return err
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
