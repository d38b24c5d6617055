package build

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// unmountLeft frees the mounts that a killed server's builds have left: BuildKit
// mounts below the temporary directory to copy files into layers, and nobody
// else mounts our layers there.
func unmountLeft(layers string) error {
	left, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		ours := strings.HasPrefix(filepath.Base(m.Mountpoint), "buildkit-mount") && filepath.Dir(m.Mountpoint) == filepath.Clean(os.TempDir())
		return !ours || !strings.Contains(m.VFSOptions, layers) && !strings.Contains(m.Root, layers), false
	})
	if err != nil {
		return fmt.Errorf("look for mounts: %w", err)
	}
	var errs []error
	for _, m := range left {
		if err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH); err != nil {
			errs = append(errs, fmt.Errorf("unmount %s: %w", m.Mountpoint, err))
			continue
		}
		errs = append(errs, os.Remove(m.Mountpoint))
	}
	return errors.Join(errs...)
}
