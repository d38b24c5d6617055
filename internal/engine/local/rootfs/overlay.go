package rootfs

import (
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// overlay mounts the layers and the disk behind the descriptors as one
// filesystem. Layers are named by descriptor, so their number and the length
// of their paths do not matter.
func overlay(layers []int, top writable, target string, open *files) error {
	if !knowsLowerPlus() {
		return overlayAtOnce(layers, top, target)
	}
	return overlayByLayer(layers, top, target, open)
}

// writable are the directories of an overlay that is written to; without them
// it is read-only.
type writable struct {
	upper, work string
	shared      bool // another overlay, which nobody looks into meanwhile, has them too
}

// knowsLowerPlus tells whether overlayfs takes its layers one by one, which it
// does from Linux 6.8 on. Before 6.5 it takes any option and complains only when
// it is mounted, so one that no kernel knows is the test of that.
var knowsLowerPlus = sync.OnceValue(func() bool { return takes("lowerdir+", "/") && !takes("no-such-option", "1") })

func takes(option, value string) bool {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return false
	}
	defer unix.Close(fs)
	return unix.FsconfigSetString(fs, option, value) == nil
}

func overlayByLayer(layers []int, top writable, target string, open *files) error {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open overlayfs: %w", err)
	}
	*open = append(*open, fs)
	for _, fd := range layers {
		if err := unix.FsconfigSetString(fs, "lowerdir+", fdPath(fd)); err != nil {
			return fmt.Errorf("add layer: %w%s", err, why(fs))
		}
	}
	options := map[string]string{"source": "daytona"}
	if top.upper != "" {
		options["upperdir"], options["workdir"] = top.upper, top.work
		if top.shared {
			options["index"] = "off" // it would refuse
		}
	}
	for key, value := range options {
		if err := unix.FsconfigSetString(fs, key, value); err != nil {
			return fmt.Errorf("set %s: %w%s", key, err, why(fs))
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return fmt.Errorf("create overlay: %w%s", err, why(fs))
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	*open = append(*open, mount)
	if err := unix.MoveMount(mount, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount overlay on %s: %w", target, err)
	}
	return nil
}

// overlayAtOnce is for kernels before 6.8. The options are one page at most:
// enough for the 127 layers an image may have, by their short names.
func overlayAtOnce(layers []int, top writable, target string) error {
	names := make([]string, len(layers))
	for i, fd := range layers {
		names[i] = fdPath(fd)
	}
	options := "lowerdir=" + strings.Join(names, ":")
	if top.upper != "" {
		options += ",upperdir=" + top.upper + ",workdir=" + top.work
		if top.shared {
			options += ",index=off"
		}
	}
	if err := unix.Mount("daytona", target, "overlay", unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount overlay on %s: %w", target, err)
	}
	return nil
}

func fdPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// why reads the kernel's own explanation.
func why(fs int) string {
	var b [1024]byte
	n, err := unix.Read(fs, b[:])
	if err != nil || n == 0 {
		return ""
	}
	return ": " + strings.TrimSpace(string(b[:n]))
}
