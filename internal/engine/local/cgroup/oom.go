package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// OOMs tells of the processes that the kernel kills in one sandbox for its
// memory limit.
type OOMs struct {
	tree *Tree
	id   string
	seen int64
	file *os.File // memory.events, which the kernel marks as changed
}

// WatchOOM begins to watch a sandbox. Close must follow.
func (t *Tree) WatchOOM(id string) (*OOMs, error) {
	o, err := t.watchOOM(id)
	if err != nil {
		return nil, fmt.Errorf("watch the memory of sandbox %s: %w", id, err)
	}
	return o, nil
}

func (t *Tree) watchOOM(id string) (*OOMs, error) {
	if t.v1 != nil {
		return t.v1.watchOOM(t, id)
	}
	fd, err := unix.Open(filepath.Join(t.dir(id), "memory.events"), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &OOMs{tree: t, id: id, seen: t.OOMKills(id), file: os.NewFile(uintptr(fd), "memory.events")}, nil
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
	if o.tree.v1 != nil {
		return o.tree.v1.changed(o)
	}
	return awaitField(o.file, "oom_kill", o.seen)
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
