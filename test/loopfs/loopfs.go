// Package loopfs mounts small filesystems for tests: each an ext4 in a file of
// its own.
package loopfs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// patience is how long a filesystem may be busy: what was a loop device on it
// lets go of its file a moment later, when the last copy of its mount has gone,
// which sandboxes of tests beside have too.
const patience = 6 * time.Minute

// Mount mounts a filesystem, freed with the test, and returns where.
func Mount(t testing.TB, size int64) string {
	t.Helper()
	at := Make(t, size)
	t.Cleanup(func() { Unmount(t, at) })
	return at
}

// Make mounts a filesystem, which the caller unmounts.
func Make(t testing.TB, size int64) string {
	t.Helper()
	dir := t.TempDir()
	file, at := filepath.Join(dir, "image"), filepath.Join(dir, "at")
	err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, size), os.Mkdir(at, 0o711),
		run("mkfs.ext4", "-q", "-m", "0", file), run("mount", "-o", "loop", file, at))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// Unmount unmounts what is mounted at a place, as soon as it can be.
func Unmount(t testing.TB, at string) {
	t.Helper()
	err := run("umount", at)
	for end := time.Now().Add(patience); err != nil && time.Now().Before(end); err = run("umount", at) {
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		t.Error(err)
	}
}

func run(args ...string) error {
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", args, err, out)
	}
	return nil
}
