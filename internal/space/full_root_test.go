//go:build root

package space

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// mounted is a filesystem with so many bytes.
func mounted(t *testing.T, size int64) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.FormatInt(size, 10)); err != nil {
		t.Fatal("this test mounts and must run as root:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestABallastGivesItsSpaceAndTakesItAgainWhenThereIsEnough(t *testing.T) {
	dir := mounted(t, Reserve+(100<<20))
	b := &Ballast{Path: filepath.Join(dir, "ballast"), Size: 64 << 20}
	free := func() int64 {
		t.Helper()
		n, err := Free(dir)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := free()
	for range 2 {
		if err := b.Restore(); err != nil || before-free() != b.Size {
			t.Fatalf("%v, it takes %d bytes", err, before-free())
		}
	}
	if !b.Drop() || free() != before {
		t.Errorf("it gave %d bytes back", free()-before+b.Size)
	}
	if b.Drop() {
		t.Error("it was dropped twice")
	}
	other, err := os.Create(filepath.Join(dir, "other"))
	if err == nil {
		err = errors.Join(unix.Fallocate(int(other.Fd()), 0, 0, 80<<20), other.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Restore(); err != nil || b.Drop() {
		t.Errorf("it took of the reserve: %v", err)
	}
}

func TestInodesAreKeptAsBytesAre(t *testing.T) {
	dir := mounted(t, Reserve+64<<20)
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "nr_inodes=1000"); err != nil {
		t.Fatal(err)
	}
	if err := Require(dir, 0, Reserve); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		for i := range 960 {
			if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o600); err != nil {
				cancel(err)
			}
		}
	}()
	Watch(ctx, dir, slog.New(slog.DiscardHandler), cancel)
	for _, err := range []error{context.Cause(ctx), Require(dir, 0, Reserve)} {
		if !errors.Is(err, ErrLowFiles) || !errors.Is(err, ErrLow) || !IsFull(err) {
			t.Errorf("without inodes: %v", err)
		}
	}
	if err := Require(dir, 0, 0); err != nil {
		t.Errorf("what may use the reserve: %v", err)
	}
}
