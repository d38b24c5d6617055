package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// delegated are the files that the kernel's documentation (section "Delegation")
// gives to the delegate, and v1's "tasks". Files with limits stay the host's.
var delegated = []string{"cgroup.procs", "tasks", "cgroup.threads", "cgroup.subtree_control"}

// Create makes the sandbox's group and gives it to owner, its root: it can
// divide what it was given and not raise it.
func (t *Tree) Create(id string, owner int) error {
	for _, m := range t.mounts() {
		dir := filepath.Join(m, t.parent, id)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make cgroup of sandbox %s: %w", id, err)
		}
		if err := os.Chown(dir, owner, owner); err != nil {
			return fmt.Errorf("delegate cgroup of sandbox %s: %w", id, err)
		}
		for _, name := range delegated {
			if err := os.Chown(filepath.Join(dir, name), owner, owner); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("delegate cgroup of sandbox %s: %w", id, err)
			}
		}
	}
	return nil
}

// Remove kills what is left in the sandbox's group and removes it. Removing a
// missing one is a no-op.
func (t *Tree) Remove(ctx context.Context, id string) error {
	const pause = 2 * time.Millisecond
	for {
		left, err := t.kill(id)
		if err == nil && !left {
			err = t.rmdir(id)
		}
		// Dying processes keep their group busy for a moment.
		if err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("remove cgroup of sandbox %s: %w", id, err)
		}
		if err == nil && !left {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("remove cgroup of sandbox %s: %w", id, ctx.Err())
		}
	}
}

// Kill kills every process of the sandbox's group and of the groups below it,
// also those that the sandbox has frozen.
func (t *Tree) Kill(id string) error {
	if _, err := t.kill(id); err != nil {
		return fmt.Errorf("kill the processes of sandbox %s: %w", id, err)
	}
	return nil
}

// kill also tells whether there were processes to kill.
func (t *Tree) kill(id string) (left bool, err error) {
	if t.v1 != nil {
		return t.v1.kill(t.parent, id)
	}
	populated, err := field(filepath.Join(t.dir(id), "cgroup.events"), "populated")
	if err != nil || populated == 0 {
		return false, ignoreGone(err)
	}
	g, err := t.group(id)
	if err != nil {
		return true, err
	}
	return true, ignoreGone(g.Kill())
}

// Processes are those of the sandbox's group and of the groups below it.
func (t *Tree) Processes(id string) (pids []int) {
	for _, m := range t.mounts() {
		// What cannot be read has gone since.
		_ = eachGroup(filepath.Join(m, t.parent, id), func(_ string, found []int) {
			for _, pid := range found {
				if pid > 0 && !slices.Contains(pids, pid) {
					pids = append(pids, pid)
				}
			}
		})
	}
	return pids
}

// eachGroup calls f for a group and for every group below it, with the processes
// of that group; one of another pid namespace is 0.
func eachGroup(dir string, f func(dir string, pids []int)) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return ignoreGone(err)
		}
		b, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		var pids []int
		for _, text := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(text); err == nil {
				pids = append(pids, pid)
			}
		}
		f(path, pids)
		return ignoreGone(err)
	})
}

func (t *Tree) rmdir(id string) error {
	for _, m := range t.mounts() {
		if err := rmdirTree(filepath.Join(m, t.parent, id)); err != nil {
			return err
		}
	}
	return nil
}

// rmdirTree removes a group and those that the sandbox made below it.
func rmdirTree(dir string) error {
	err := unix.Rmdir(dir)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			if err := rmdirTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

// List names the sandboxes that have a group.
func (t *Tree) List() []string {
	seen := map[string]bool{}
	var ids []string
	for _, m := range t.mounts() {
		entries, _ := os.ReadDir(filepath.Join(m, t.parent)) // a missing parent has none
		for _, e := range entries {
			if e.IsDir() && !seen[e.Name()] {
				seen[e.Name()] = true
				ids = append(ids, e.Name())
			}
		}
	}
	return ids
}

// Destroy removes the parent groups, which must be empty.
func (t *Tree) Destroy() error {
	for _, m := range t.mounts() {
		if err := unix.Rmdir(filepath.Join(m, t.parent)); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove cgroup %s: %w", t.parent, err)
		}
	}
	return nil
}
