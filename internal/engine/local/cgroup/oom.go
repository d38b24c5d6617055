package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// OOMs tells of the processes that the kernel kills in one sandbox for its
// memory limit.
type OOMs struct {
	tree *Tree
	id   string
	seen int64
	// In v2 the group's memory.events, which the kernel marks as changed; in v1
	// an eventfd that it counts up.
	file *os.File
}

// WatchOOM begins to watch a sandbox. Close must follow.
func (t *Tree) WatchOOM(id string) (*OOMs, error) {
	var fd int
	var err error
	if t.v2 {
		fd, err = unix.Open(filepath.Join(t.dir(root, id), "memory.events"), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	} else {
		fd, err = notifyV1(t.dir(filepath.Join(root, "memory"), id))
	}
	if err != nil {
		return nil, fmt.Errorf("watch the memory of sandbox %s: %w", id, err)
	}
	return &OOMs{tree: t, id: id, seen: t.OOMKills(id), file: os.NewFile(uintptr(fd), "oom")}, nil
}

// notifyV1 makes an eventfd for when memory runs out (cgroup-v1/memory,
// section 10).
func notifyV1(dir string) (int, error) {
	control, err := os.Open(filepath.Join(dir, "memory.oom_control"))
	if err != nil {
		return -1, err
	}
	defer control.Close()
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return -1, err
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.event_control"), fmt.Appendf(nil, "%d %d", fd, control.Fd()), 0); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Next waits until more was killed than before, and returns how much more. It
// fails once the watch is closed or the group is gone.
func (o *OOMs) Next() (killed int64, err error) {
	for {
		now, err := o.changed()
		if err != nil {
			return 0, err
		}
		if now > o.seen {
			killed, o.seen = now-o.seen, now
			return killed, nil
		}
	}
}

// changed waits for a sign of the kernel and returns the number of kills.
func (o *OOMs) changed() (int64, error) {
	if o.tree.v2 {
		return awaitField(o.file, "oom_kill", o.seen)
	}
	if _, err := o.file.Read(make([]byte, 8)); err != nil {
		return 0, err
	}
	// The sign comes just before the kill, and also when the group goes.
	for range 20 {
		if now := o.tree.OOMKills(o.id); now > o.seen {
			return now, nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	_, err := os.Stat(o.tree.dir(filepath.Join(root, "memory"), o.id))
	return o.seen, err
}

// awaitField waits until the number after a word in a file of a group is above
// seen. The kernel wakes pollers of such a file when it changes, and never lets
// a read of it wait (kernfs_notify).
func awaitField(f *os.File, name string, seen int64) (int64, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var now int64
	var failed error
	err = conn.Read(func(fd uintptr) bool {
		buf := make([]byte, 512)
		n, err := unix.Pread(int(fd), buf, 0)
		if failed = err; err != nil {
			return true
		}
		now = fieldOf(string(buf[:n]), name)
		return now > seen
	})
	return now, errors.Join(err, failed)
}

// Close ends the watch; a waiting Next returns.
func (o *OOMs) Close() error { return o.file.Close() }
