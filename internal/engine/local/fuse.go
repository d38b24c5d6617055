package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// removeGroup ends what is left of a sandbox's processes and removes its group.
func (l *Local) removeGroup(ctx context.Context, id string) error {
	soon, cancel := context.WithTimeout(ctx, killRepeat)
	defer cancel()
	err := l.cgroups.Remove(soon, id)
	if err == nil || soon.Err() == nil {
		return err
	}
	if err := l.abortFUSE(id); err != nil {
		return err
	}
	return l.cgroups.Remove(ctx, id)
}

// abortFUSE breaks the FUSE connections of a sandbox whose processes were
// killed and stay. A thread that waits for an answer which its own process
// would give waits for ever: it holds the descriptor that the others have left
// ("Aborting a filesystem connection", fuse.rst of the kernel). Such a process
// can be the agent, or be made by whoever does not want to go.
func (l *Local) abortFUSE(id string) error {
	var owners []idRange
	for _, pid := range l.cgroups.Processes(id) {
		r, err := ownIDs(pid)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("break FUSE connections: %w", err)
		}
		owners = append(owners, r...)
	}
	connections, err := openFUSE()
	if errors.Is(err, unix.ENODEV) || len(owners) == 0 {
		return nil // no kernel with FUSE
	}
	if err != nil {
		return fmt.Errorf("break FUSE connections: %w", err)
	}
	defer connections.Close()
	entries, err := connections.ReadDir(-1)
	if err != nil {
		return fmt.Errorf("break FUSE connections: %w", err)
	}
	for _, e := range entries {
		dir := filepath.Join(fdPath(connections), e.Name())
		var st unix.Stat_t
		if unix.Stat(dir, &st) != nil {
			continue // it went
		}
		// The directory belongs to whoever has mounted.
		if !slices.ContainsFunc(owners, func(r idRange) bool { return r.has(st.Uid) }) {
			continue
		}
		l.log(id).Info("breaking a FUSE connection that keeps killed processes", "connection", e.Name())
		err := os.WriteFile(filepath.Join(dir, "abort"), []byte("1"), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("break FUSE connections: %w", err)
		}
	}
	return nil
}

// openFUSE opens the kernel's directory of connections. It need not be mounted.
func openFUSE() (*os.File, error) {
	context, err := unix.Fsopen("fusectl", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(context)
	if err := unix.FsconfigCreate(context); err != nil {
		return nil, err
	}
	mount, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(mount)
	fd, err := unix.Openat(mount, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "fusectl"), nil
}

// idRange is part of the host's ids.
type idRange struct{ first, size uint32 }

func (r idRange) has(id uint32) bool { return id >= r.first && id-r.first < r.size }

// ownIDs are the host's ids of the users in a process' user namespace, none in
// the host's own.
func ownIDs(pid int) ([]idRange, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/uid_map", pid))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []idRange
	for s := bufio.NewScanner(f); s.Scan(); {
		var inside uint32
		var r idRange
		if _, err := fmt.Sscan(s.Text(), &inside, &r.first, &r.size); err != nil {
			return nil, fmt.Errorf("read /proc/%d/uid_map: %w", pid, err)
		}
		if r.has(0) {
			return nil, nil
		}
		all = append(all, r)
	}
	return all, nil
}
