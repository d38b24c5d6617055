package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// loopMount is a btrfs filesystem in a sparse file. The loop device is set to
// clear itself: it is gone with the last user of the filesystem, even when the
// server dies between any two steps.
type loopMount struct {
	target string // where it is mounted
}

// minimum is what mkfs.btrfs and a few sandboxes need.
const minimum = 512 << 20

// mountLoop mounts the filesystem in c.Dir's file, which it makes at first. One
// that an earlier server mounted is taken over. Errors: errNoBtrfs.
func mountLoop(ctx context.Context, c Config) (*loopMount, error) {
	file := filepath.Join(c.Dir, "pool.btrfs")
	m := &loopMount{target: filepath.Join(c.Dir, "mnt")}
	if err := os.MkdirAll(m.target, 0o700); err != nil {
		return nil, fmt.Errorf("open disk pool: %w", err)
	}
	if err := format(ctx, c, file); err != nil {
		return nil, err
	}
	if isBtrfs(m.target) {
		return m, nil
	}
	grown, err := growFile(file, c.Size)
	if err != nil {
		return nil, fmt.Errorf("grow disk pool %s: %w", file, err)
	}
	dev, err := attach(ctx, file)
	if err != nil {
		return nil, fmt.Errorf("attach disk pool %s: %w", file, err)
	}
	// Closing our descriptor after the mount leaves the mount as the device's
	// only user.
	defer dev.Close()
	// nodev: nothing on a sandbox's disk is ever a device of the host.
	// Discarding gives the space of deleted files back to the host's disk.
	err = unix.Mount(dev.Name(), m.target, "btrfs", unix.MS_NOATIME|unix.MS_NODEV, "discard=async")
	if errors.Is(err, unix.ENODEV) {
		return nil, fmt.Errorf("%w: the kernel does not know the filesystem", errNoBtrfs)
	}
	if err != nil {
		return nil, fmt.Errorf("mount disk pool %s: %w", file, err)
	}
	if err := unix.Mount("", m.target, "", unix.MS_PRIVATE, ""); err != nil {
		return nil, errors.Join(fmt.Errorf("mount disk pool %s: %w", file, err), m.unmount())
	}
	if grown {
		if err := m.grow(); err != nil {
			return nil, errors.Join(fmt.Errorf("grow disk pool %s: %w", file, err), m.unmount())
		}
	}
	return m, nil
}

func (m *loopMount) grow() error {
	dir, err := os.Open(m.target)
	if err != nil {
		return err
	}
	defer dir.Close()
	return growToDevice(dir)
}

func (m *loopMount) unmount() error {
	if err := unix.Unmount(m.target, 0); err != nil {
		return fmt.Errorf("unmount disk pool %s: %w", m.target, err)
	}
	return nil
}

// format makes the file with an empty filesystem unless it is there.
func format(ctx context.Context, c Config, file string) error {
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	mkfs, err := exec.LookPath("mkfs.btrfs")
	if err != nil {
		return fmt.Errorf("%w: mkfs.btrfs is missing, install btrfs-progs", errNoBtrfs)
	}
	size := c.Size
	if size == 0 {
		var st unix.Statfs_t
		if err := unix.Statfs(c.Dir, &st); err != nil {
			return fmt.Errorf("make disk pool: %w", err)
		}
		size = int64(st.Bavail) * st.Bsize / 10 * 8
	}
	if size < minimum {
		return fmt.Errorf("make disk pool: %d MiB are too few, it needs %d MiB", size>>20, minimum>>20)
	}
	tmp := file + ".new"
	if err := os.WriteFile(tmp, nil, 0o600); err != nil {
		return fmt.Errorf("make disk pool: %w", err)
	}
	if err := os.Truncate(tmp, size&^0xfffff); err != nil {
		return fmt.Errorf("make disk pool: %w", err)
	}
	// One copy of the metadata: the file's own filesystem is what protects it.
	out, err := exec.CommandContext(ctx, mkfs, "-q", "-m", "single", "-d", "single", tmp).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make disk pool: mkfs.btrfs: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return os.Rename(tmp, file)
}

// growFile makes the file larger when a larger pool was asked for.
func growFile(file string, size int64) (bool, error) {
	st, err := os.Stat(file)
	if err != nil {
		return false, err
	}
	size &^= 0xfffff
	if size <= st.Size() {
		return false, nil
	}
	return true, os.Truncate(file, size)
}

// attach returns a loop device on the file: the one that is on it already,
// because two would destroy the filesystem, or a free one.
func attach(ctx context.Context, file string) (*os.File, error) {
	back, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer back.Close()
	for {
		if dev, err := findLoop(back); dev != nil || err != nil {
			return dev, err
		}
		dev, err := freeLoop()
		if err != nil {
			return nil, err
		}
		conf := unix.LoopConfig{Fd: uint32(back.Fd()), Size: 4096, Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR | unix.LO_FLAGS_DIRECT_IO}}
		copy(conf.Info.File_name[:len(conf.Info.File_name)-1], file)
		err = unix.IoctlLoopConfigure(int(dev.Fd()), &conf)
		if errors.Is(err, unix.EINVAL) { // the file's filesystem does no direct I/O
			conf.Info.Flags &^= unix.LO_FLAGS_DIRECT_IO
			err = unix.IoctlLoopConfigure(int(dev.Fd()), &conf)
		}
		if err == nil {
			return dev, nil
		}
		dev.Close()
		if !errors.Is(err, unix.EBUSY) { // busy: another program was faster
			return nil, fmt.Errorf("configure %s: %w", dev.Name(), err)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// findLoop returns the loop device on the file, nil when there is none.
func findLoop(back *os.File) (*os.File, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(back.Fd()), &st); err != nil {
		return nil, err
	}
	bound, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, err
	}
	for _, path := range bound {
		name := strings.Split(path, "/")[3]
		dev, err := os.OpenFile("/dev/"+name, os.O_RDWR, 0)
		if err != nil {
			continue // cleared since
		}
		if info, err := unix.IoctlLoopGetStatus64(int(dev.Fd())); err == nil && info.Inode == st.Ino && info.Device == st.Dev {
			return dev, nil
		}
		dev.Close()
	}
	return nil, nil
}

func freeLoop() (*os.File, error) {
	ctl, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: no loop devices: %w", errNoBtrfs, err)
	}
	defer ctl.Close()
	n, err := unix.IoctlRetInt(int(ctl.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return nil, fmt.Errorf("find a free loop device: %w", err)
	}
	path := "/dev/loop" + strconv.Itoa(n)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) { // no udev here
		if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(7, uint32(n)))); err != nil {
			return nil, fmt.Errorf("make %s: %w", path, err)
		}
	}
	return os.OpenFile(path, os.O_RDWR, 0)
}
