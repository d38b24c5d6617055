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
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/durable"
)

// loopMount is a btrfs filesystem in a file whose space is allocated. The loop
// device is set to clear itself: it is gone with the last user of the filesystem,
// even when the server dies between any two steps.
type loopMount struct {
	file, target string // target is where it is mounted
}

// minimum is what mkfs.btrfs and a few sandboxes need.
const minimum = 512 << 20

// mountLoop mounts the filesystem in c.Dir's file, which it makes at first. One
// that an earlier server mounted is taken over. Errors: errNoBtrfs.
func mountLoop(ctx context.Context, c Config) (*loopMount, error) {
	file := filepath.Join(c.Dir, "pool.btrfs")
	m := &loopMount{file: file, target: filepath.Join(c.Dir, mountName)}
	if err := durable.MkdirAll(m.target, 0o700); err != nil {
		return nil, fmt.Errorf("open disk pool: %w", err)
	}
	if err := format(ctx, c, file); err != nil {
		return nil, err
	}
	var err error
	switch {
	case !isBtrfs(m.target):
		err = m.mount(ctx, c)
	case readOnly(m.target):
		err = m.remount(ctx, c)
	default:
		err = m.adopt()
	}
	if err != nil {
		return nil, err
	}
	if err := m.backFile(c); err != nil {
		return nil, errors.Join(err, m.unmount())
	}
	return m, nil
}

// options of the mount: nodev, because nothing on a sandbox's disk is ever a
// device of the host.
const (
	mountFlags   = unix.MS_NOATIME | unix.MS_NODEV
	mountOptions = "nodiscard"
)

func (m *loopMount) mount(ctx context.Context, c Config) error {
	grown, err := growFile(m.file, c)
	if err != nil {
		return fmt.Errorf("grow disk pool %s: %w", m.file, err)
	}
	dev, err := attach(ctx, m.file)
	if err != nil {
		return fmt.Errorf("attach disk pool %s: %w", m.file, err)
	}
	// Closing our descriptor after the mount leaves the mount as the device's
	// only user.
	defer dev.Close()
	if err := refuseDiscards(dev); err != nil {
		return fmt.Errorf("attach disk pool %s: refuse discards: %w", m.file, err)
	}
	err = unix.Mount(dev.Name(), m.target, "btrfs", mountFlags, mountOptions)
	if errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("%w: the kernel does not know the filesystem", errNoBtrfs)
	}
	if err != nil {
		return fmt.Errorf("mount disk pool %s: %w", m.file, err)
	}
	if err := unix.Mount("", m.target, "", unix.MS_PRIVATE, ""); err != nil {
		return errors.Join(fmt.Errorf("mount disk pool %s: %w", m.file, err), m.unmount())
	}
	if grown {
		if err := m.grow(); err != nil {
			return errors.Join(fmt.Errorf("grow disk pool %s: %w", m.file, err), m.unmount())
		}
	}
	return nil
}

// adopt takes over what an earlier server has mounted, which may have let
// discards through.
func (m *loopMount) adopt() error {
	f, err := os.Open(m.file)
	if err != nil {
		return fmt.Errorf("take over disk pool: %w", err)
	}
	defer f.Close()
	dev, err := findLoop(f)
	if err == nil && dev != nil {
		defer dev.Close()
		err = refuseDiscards(dev)
	}
	if err == nil {
		err = unix.Mount("", m.target, "", unix.MS_REMOUNT|mountFlags, mountOptions)
	}
	if err != nil {
		return fmt.Errorf("take over disk pool %s: %w", m.file, err)
	}
	return nil
}

// remountPatience is how long those that use a failed pool may take to let go
// of it.
const remountPatience = 30 * time.Second

// remount mounts a filesystem anew that has become read-only. The kernel does so
// only when nothing of it is in use any more, so whatever runs on it must end.
func (m *loopMount) remount(ctx context.Context, c Config) error {
	ctx, cancel := context.WithTimeout(ctx, remountPatience)
	defer cancel()
	for {
		err := m.unmount()
		if errors.Is(err, unix.EINVAL) { // an earlier attempt has
			err = nil
		}
		if err == nil {
			err = m.mount(ctx, c)
		}
		if err == nil && readOnly(m.target) {
			err = errors.New("it is still in use somewhere")
		}
		if err == nil {
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("mount disk pool %s anew: %w", m.file, err)
		}
	}
}

func (m *loopMount) backFile(c Config) error {
	f, err := os.OpenFile(m.file, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("back disk pool: %w", err)
	}
	defer f.Close()
	if err := m.back(f, c); err != nil {
		return fmt.Errorf("back disk pool: %w", err)
	}
	return nil
}

func (m *loopMount) grow() error {
	dir, err := os.Open(m.target)
	if err != nil {
		return err
	}
	defer dir.Close()
	return resizeDevice(dir, "max")
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
	tmp := file + ".new"
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("make disk pool: %w", err)
	}
	defer f.Close()
	room, err := spare(f, c.KeepFree)
	if err != nil {
		return fmt.Errorf("make disk pool: %w", err)
	}
	size := c.Size
	if size == 0 {
		size = room / 2 // images, builds and uploads share the rest
	}
	if size < minimum {
		return fmt.Errorf("make disk pool: %d MiB are too few, it needs %d MiB", size>>20, minimum>>20)
	}
	if size > room && !c.Sparse {
		return errors.Join(fmt.Errorf("make disk pool: there is no room for its %d MiB, but for %d MiB: choose a smaller --disk-size, or another --data-dir", size>>20, room>>20), os.Remove(tmp))
	}
	size &^= 0xfffff
	if !c.Sparse {
		err = allocate(f, size)
	}
	if c.Sparse || errors.Is(err, errUnbacked) { // mountLoop tells of the latter
		err = f.Truncate(size)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make disk pool: %w", err), os.Remove(tmp))
	}
	// One copy of the metadata: the file's own filesystem is what protects it.
	out, err := exec.CommandContext(ctx, mkfs, "-q", "--nodiscard", "-m", "single", "-d", "single", tmp).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make disk pool: mkfs.btrfs: %w: %s", err, strings.TrimSpace(string(out)))
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("make disk pool: %w", err)
	}
	return durable.Rename(tmp, file)
}

// growFile makes the file larger when a larger pool was asked for, as far as
// there is room.
func growFile(file string, c Config) (bool, error) {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	missing, now, err := lacking(f)
	if err != nil {
		return false, err
	}
	room, err := spare(f, c.KeepFree)
	if err != nil {
		return false, err
	}
	size := min(c.Size, now-missing+room) &^ 0xfffff
	if c.Size > now && size < c.Size&^0xfffff {
		c.Logger.Warn("there is no room for a disk pool of the size that was asked for", "asked MiB", c.Size>>20, "room MiB", max(size, now)>>20)
	}
	if size <= now {
		return false, nil
	}
	if err := allocate(f, size); err != nil && !errors.Is(err, errUnbacked) {
		return false, err
	}
	// Synced before the filesystem in it counts on it.
	return true, errors.Join(f.Truncate(size), f.Sync())
}

// readOnly reports whether the filesystem at path has become read-only.
func readOnly(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Flags&unix.ST_RDONLY != 0
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
