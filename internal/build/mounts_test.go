package build

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A killed server cannot be made to stand at the moments when these are there.
func TestMountsOfAKilledServersBuildsAreFreed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root")
	}
	elsewhere := t.TempDir() // as with XDG_RUNTIME_DIR, or another TMPDIR
	temporary := func(in, pattern string) string {
		dir, err := os.MkdirTemp(in, pattern)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = unix.Unmount(dir, unix.MNT_DETACH)
			_ = os.Remove(dir)
		})
		return dir
	}
	overlay := func(at, lower string) {
		if err := unix.Mount("overlay", at, "overlay", unix.MS_RDONLY, "lowerdir="+lower); err != nil {
			t.Fatal(err)
		}
	}
	ours, others := filepath.Join(t.TempDir(), "layers"), filepath.Join(t.TempDir(), "layers")
	for _, dir := range []string{ours + "/1", ours + "/2", others + "/1", others + "/2"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	empty, compared, copied, foreign := temporary("", "buildkit"), temporary(elsewhere, "containerd-mount"), temporary("", "buildkit-mount"), temporary("", "containerd-mount")
	overlay(compared, ours+"/1:"+empty)
	overlay(copied, ours+"/1:"+ours+"/2")
	overlay(foreign, others+"/1:"+others+"/2")

	if err := unmountLeft(ours, nil); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{empty, compared, copied} {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", dir, err)
		}
	}
	if err := unix.Unmount(foreign, 0); err != nil {
		t.Errorf("another server's mount: %v", err)
	}
}
