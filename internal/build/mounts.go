package build

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// unmountLeft frees the mounts that a killed server's builds have left: BuildKit
// mounts at temporary directories to copy files into layers, and containerd's
// library, which BuildKit calls, to compare layers. Nobody else mounts our layers
// there, nor the disks of builds, which are mounted at disks.
func unmountLeft(layers string, disks []string) error {
	left, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		ours := isTemporary(m.Mountpoint, "buildkit-mount") || isTemporary(m.Mountpoint, "containerd-mount")
		return !ours || !strings.Contains(m.VFSOptions, layers) && !strings.Contains(m.Root, layers) && !slices.Contains(disks, m.Mountpoint), false
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
		// An overlay of one layer has an empty directory below it.
		for option := range strings.SplitSeq(m.VFSOptions, ",") {
			lower, _ := strings.CutPrefix(option, "lowerdir=")
			for dir := range strings.SplitSeq(lower, ":") {
				if isTemporary(dir, "buildkit") {
					errs = append(errs, os.Remove(dir))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// isTemporary tells whether a path is that of a temporary directory with the
// prefix. Where those are depends on the environment of the server that made it.
func isTemporary(path, prefix string) bool { return strings.HasPrefix(filepath.Base(path), prefix) }
