package rootfs

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// apart runs f on a thread with mounts of its own, which end with it.
func apart(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Old kernels take all layers in one option, new ones one by one: both ways make
// the same tree, and the new kernel of the test takes both.
func TestLayersAreMergedByEitherWay(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root")
	}
	for name, mount := range map[string]func([]int, writable, string, *files) error{
		"as this kernel does": overlay,
		"at once": func(layers []int, top writable, target string, _ *files) error {
			return overlayAtOnce(layers, top, target)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var layers []string
			for _, layer := range []string{"top", "base"} {
				if err := os.MkdirAll(filepath.Join(dir, "layers", layer), 0o755); err != nil {
					t.Fatal(err)
				}
				for _, file := range []string{"both", layer} {
					if err := os.WriteFile(filepath.Join(dir, "layers", layer, file), []byte(layer), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				layers = append(layers, filepath.Join(dir, "layers", layer))
			}
			for _, d := range []string{"upper", "work", "root", "stage"} {
				if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			root := filepath.Join(dir, "root")
			apart(t, func() error {
				var open files
				defer open.close()
				fds, err := open.layers(layers, nil, filepath.Join(dir, "stage"))
				if err != nil {
					return err
				}
				top := writable{upper: filepath.Join(dir, "upper"), work: filepath.Join(dir, "work")}
				if err := mount(fds, top, root, &open); err != nil {
					return err
				}
				for file, want := range map[string]string{"both": "top", "top": "top", "base": "base"} {
					if got, err := os.ReadFile(filepath.Join(root, file)); err != nil || string(got) != want {
						t.Errorf("%s: %q, %v", file, got, err)
					}
				}
				return os.WriteFile(filepath.Join(root, "written"), nil, 0o644)
			})
			if _, err := os.Stat(filepath.Join(dir, "upper", "written")); err != nil {
				t.Error(err)
			}
		})
	}
}
