package build

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/continuity/sysx"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/image"
)

func TestAMovedTreeIsTheSameLayer(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	in := func(name string) string { return filepath.Join(from, name) }
	sparse, err := os.Create(in("sparse"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = sparse.WriteAt([]byte("x"), 3<<20)
	if err := errors.Join(err, sparse.Truncate(1<<40), sparse.Close(),
		os.MkdirAll(in("a/b"), 0o755), os.WriteFile(in("a/b/program"), []byte("runs"), 0o755), os.Chown(in("a/b/program"), 7, 8), unix.Chmod(in("a/b/program"), 0o4755),
		os.Link(in("a/b/program"), in("twin")), os.Symlink("/nowhere", in("link")), os.Lchown(in("link"), 7, 8),
		unix.Mknod(in("whiteout"), unix.S_IFCHR, 0), unix.Mkfifo(in("pipe"), 0o600),
		sysx.LSetxattr(in("a"), "trusted.overlay.opaque", []byte("y"), 0), sysx.LSetxattr(in("a/b/program"), "security.capability", []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0),
		os.Chmod(in("a"), 0o2555), unix.UtimesNano(in("a"), []unix.Timespec{{Sec: 5}, {Sec: 6}}),
		os.WriteFile(filepath.Join(to, "left-by-a-crash"), nil, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	if err := moveTree(t.Context(), to, from, image.Limited(1<<20, 100)); err != nil {
		t.Fatal(err)
	}
	stat := func(dir, name string) (st unix.Stat_t) {
		t.Helper()
		if err := unix.Lstat(filepath.Join(dir, name), &st); err != nil {
			t.Fatal(err)
		}
		return st
	}
	for _, name := range []string{".", "sparse", "a", "a/b", "a/b/program", "twin", "link", "whiteout", "pipe"} {
		was, is := stat(from, name), stat(to, name)
		if was.Mode != is.Mode || was.Uid != is.Uid || was.Gid != is.Gid || was.Rdev != is.Rdev || was.Mtim != is.Mtim || was.Mode&unix.S_IFMT == unix.S_IFREG && (was.Size != is.Size || was.Nlink != is.Nlink) {
			t.Errorf("%s was %+v and is %+v", name, was, is)
		}
	}
	if stat(to, "twin").Ino != stat(to, "a/b/program").Ino {
		t.Error("a file with two names has become two")
	}
	if took := stat(to, "sparse").Blocks * 512; took > 1<<20 {
		t.Errorf("the holes of a sparse file take %d bytes", took)
	}
	b := make([]byte, 1)
	if f, err := os.Open(filepath.Join(to, "sparse")); err != nil {
		t.Error(err)
	} else if _, err := f.ReadAt(b, 3<<20); err != nil || string(b) != "x" {
		t.Errorf("the sparse file has %q, %v", b, err)
	}
	for name, attribute := range map[string]string{"a": "trusted.overlay.opaque", "a/b/program": "security.capability"} {
		was, _ := sysx.LGetxattr(in(name), attribute)
		if is, err := sysx.LGetxattr(filepath.Join(to, name), attribute); err != nil || string(is) != string(was) {
			t.Errorf("%s of %s is %q, %v", attribute, name, is, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(to, "left-by-a-crash")); !errors.Is(err, os.ErrNotExist) {
		t.Error("what was there before is part of it")
	}

	if err := moveTree(t.Context(), to, from, image.Limited(1<<20, 5)); !errors.Is(err, image.ErrTooLarge) {
		t.Errorf("with too many files: %v", err)
	}
	if left, err := os.ReadDir(to); err != nil || len(left) > 0 {
		t.Errorf("a tree that is too large leaves %v, %v", left, err)
	}
}
