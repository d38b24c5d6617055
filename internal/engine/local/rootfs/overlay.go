package rootfs

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// overlay mounts the layers and the disk behind the descriptors as one
// filesystem. Layers are named by descriptor, so their number and the length
// of their paths do not matter.
func overlay(layers []int, top writable, target string, open *files) error {
	err := overlayByLayer(layers, top, target, open)
	if errors.Is(err, errNoLowerPlus) {
		err = overlayAtOnce(layers, top, target)
	}
	return err
}

// writable are the directories of an overlay that is written to; without them
// it is read-only.
type writable struct {
	upper, work string
	shared      bool // another overlay, which nobody looks into meanwhile, has them too
}

// errNoLowerPlus says that the kernel is older than 6.8, which has no lowerdir+.
var errNoLowerPlus = errors.New("overlayfs does not know lowerdir+")

func overlayByLayer(layers []int, top writable, target string, open *files) error {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open overlayfs: %w", err)
	}
	*open = append(*open, fs)
	for _, fd := range layers {
		if err := unix.FsconfigSetString(fs, "lowerdir+", fdPath(fd)); errors.Is(err, unix.EINVAL) {
			return errNoLowerPlus
		} else if err != nil {
			return fmt.Errorf("add layer: %w", err)
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
