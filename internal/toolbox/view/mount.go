package view

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/boot"
	"github.com/opendaytona/daytona/internal/toolbox/cgroup"
)

// Mount shows the sandbox its own size from now on. It belongs to the first
// process, whose end is the end of the mounts. When it fails the view is the
// machine's, or partly so; nil then means that nothing is served.
func Mount(group *cgroup.Group, start time.Time) (*View, error) {
	if group == nil {
		return nil, errors.New("the control group is not visible")
	}
	device, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/fuse: %w", err)
	}
	k, err := mountKernel(boot.View)
	if err != nil {
		unix.Close(device)
		return nil, err
	}
	options := fmt.Sprintf("fd=%d,rootmode=%o,user_id=0,group_id=0,allow_other,default_permissions", device, unix.S_IFDIR)
	if err := unix.Mount("daytona", boot.View, "fuse.daytona", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, options); err != nil {
		unix.Close(device)
		return nil, fmt.Errorf("mount FUSE: %w", err)
	}
	v := &View{group: group, kernel: k, usage: since(start)}
	if err := newFilesystem(v).serve(fmt.Sprintf("/dev/fd/%d", device)); err != nil {
		return nil, fmt.Errorf("serve FUSE: %w", err)
	}
	// The kernel learns all names by one question, where each bind would ask one.
	if _, err := os.ReadDir(boot.View); err != nil {
		return nil, fmt.Errorf("list FUSE: %w", err)
	}
	var failed []error
	if v.device, _, err = identify(unix.AT_FDCWD, boot.View); err != nil {
		failed = append(failed, err)
	}
	for _, file := range files {
		err := unix.Mount(filepath.Join(boot.View, file.name), file.path, "", unix.MS_BIND, "")
		if err != nil && !errors.Is(err, unix.ENOENT) { // a kernel without swap has no /proc/swaps
			failed = append(failed, fmt.Errorf("bind %s: %w", file.path, err))
		}
	}
	return v, errors.Join(failed...)
}

// mountKernel mounts a second proc and sysfs, over which nothing is bound. The
// agent reads those. And in a user namespace inside, where what is bound can't
// be taken away, the kernel mounts a new one only if there is one in the mount
// namespace that hides nothing (mount_too_revealing). It need not be within
// reach: the filesystem is mounted above.
func mountKernel(dir string) (proc *os.Root, err error) {
	for _, fstype := range []string{"proc", "sysfs"} {
		if err := unix.Mount(fstype, filepath.Join(dir, fstype), fstype, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
			return nil, fmt.Errorf("mount a second %s: %w", fstype, err)
		}
	}
	return os.OpenRoot(filepath.Join(dir, "proc"))
}
