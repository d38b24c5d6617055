// Package cgroup makes and reads the sandboxes' control groups. It alone knows
// the difference between cgroup v1, with a tree for each controller, and v2.
// The OCI runtime applies the limits; this package makes the directories,
// gives them to the sandbox's root, reads them and removes them. It imports
// nothing of the house.
package cgroup

import (
	"bufio"
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

// root is where the distributions mount cgroups.
const root = "/sys/fs/cgroup"

// Tree is one parent group with a child for each sandbox.
type Tree struct {
	parent string   // below each hierarchy's root, without a slash
	mounts []string // of the hierarchies; one in v2
	v2     bool
}

// Open makes the parent group of that name in every hierarchy: in the part of the
// tree that a service manager has given to this service, so that the service's
// limits hold for all sandboxes together, or else at the root. While sandboxes
// are in the parent that last names, from another start, it stays that one.
func Open(name, last string) (*Tree, error) {
	t := at(name, last)
	for _, m := range t.mounts {
		if err := os.MkdirAll(filepath.Join(m, t.parent), 0o755); err != nil {
			return nil, fmt.Errorf("make cgroup %s: %w", t.parent, err)
		}
	}
	if t.v2 {
		if err := t.enable(); err != nil {
			return nil, fmt.Errorf("make cgroup %s: %w", t.parent, err)
		}
	}
	return t, nil
}

// at chooses the parent.
func at(name, last string) *Tree {
	parents := []string{name}
	if base := delegatedTree(); base != "" {
		parents = []string{filepath.Join(base, name), name}
	}
	for _, p := range append([]string{last}, parents...) {
		if t := At(p); p != "" && len(t.List()) > 0 {
			return t
		}
	}
	return At(parents[0])
}

// Used tells whether there are sandboxes in a parent group of that name.
func Used(name string) bool { return len(at(name, "").List()) > 0 }

// At is a parent group, which need not be there, by its path below the root.
func At(parent string) *Tree {
	t := &Tree{parent: parent, v2: Unified()}
	if t.v2 {
		t.mounts = []string{root}
	} else {
		t.mounts = mountsV1()
	}
	return t
}

// Parent is the path of the parent group below the root, for another Open.
func (t *Tree) Parent() string { return t.parent }

// Unified tells whether this machine has cgroup v2 only.
func Unified() bool {
	var st unix.Statfs_t
	return unix.Statfs(root, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// Controllers are those this machine can limit with.
func Controllers() []string {
	if Unified() {
		b, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
		if err != nil {
			return nil
		}
		return strings.Fields(string(b))
	}
	var all []string
	for _, m := range mountsV1() {
		all = append(all, strings.Split(filepath.Base(m), ",")...)
	}
	return all
}

// HybridControllers are those that belong to the hierarchy of v2 on a machine
// that has v1 as well.
func HybridControllers() []string {
	b, err := os.ReadFile(filepath.Join(root, "unified", "cgroup.controllers"))
	if Unified() || err != nil {
		return nil
	}
	return strings.Fields(string(b))
}

// mountsV1 are the mount points of all hierarchies, that of v2 in hybrid mode
// included: processes are in each of them.
func mountsV1() []string {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	var mounts []string
	for s := bufio.NewScanner(f); s.Scan(); {
		left, right, _ := strings.Cut(s.Text(), " - ")
		fields := strings.Fields(left)
		if strings.HasPrefix(right, "cgroup") && len(fields) > 4 && filepath.Dir(fields[4]) == root {
			mounts = append(mounts, fields[4])
		}
	}
	return mounts
}

// needed are the controllers without which sandboxes have no limits; wanted are
// for what runs in them, a kubelet for one.
var (
	needed = []string{"cpu", "memory", "pids"}
	wanted = []string{"cpuset", "io", "hugetlb", "rdma", "misc"}
)

// enable lets groups below the parent be limited, with each controller that there
// is. A v2 group either holds processes or limits its children, so inside a
// container, where this process is in the root group, it first moves into a leaf.
func (t *Tree) enable() error {
	base := filepath.Dir(filepath.Join(root, t.parent))
	err := enable(base, needed...)
	if errors.Is(err, unix.EBUSY) && base == root {
		if err := leaveRoot(); err != nil {
			return err
		}
		err = enable(base, needed...)
	}
	if err != nil {
		return err
	}
	for _, c := range wanted {
		if enable(base, c) == nil {
			_ = enable(filepath.Join(root, t.parent), c)
		}
	}
	return enable(filepath.Join(root, t.parent), needed...)
}

func enable(dir string, controllers ...string) error {
	err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+strings.Join(controllers, " +")), 0)
	if err != nil {
		return fmt.Errorf("enable the controllers %s: %w", strings.Join(controllers, ", "), err)
	}
	return nil
}

func leaveRoot() error {
	leaf := filepath.Join(root, "init")
	if err := os.MkdirAll(leaf, 0o755); err != nil {
		return err
	}
	procs, err := os.ReadFile(filepath.Join(root, "cgroup.procs"))
	if err != nil {
		return err
	}
	for _, pid := range strings.Fields(string(procs)) {
		err := os.WriteFile(filepath.Join(leaf, "cgroup.procs"), []byte(pid), 0)
		if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.EINVAL) { // gone, or a kernel thread
			return fmt.Errorf("move process %s to a leaf cgroup: %w", pid, err)
		}
	}
	return nil
}

// LimitsSwap tells whether the kernel can limit swap.
func (t *Tree) LimitsSwap() bool {
	if t.v2 {
		return true // a kernel without swap accounting ignores it
	}
	_, err := os.Stat(filepath.Join(root, "memory", t.parent, "memory.memsw.limit_in_bytes"))
	return err == nil
}

// OCIPath names the sandbox's group in an OCI runtime's configuration.
func (t *Tree) OCIPath(id string) string { return "/" + t.parent + "/" + id }

func (t *Tree) dir(mount, id string) string { return filepath.Join(mount, t.parent, id) }

// delegated are the files that v2's documentation (section "Delegation") gives
// to the delegate; v1 knows the first two. Files with limits stay the host's.
var delegated = []string{"cgroup.procs", "tasks", "cgroup.threads", "cgroup.subtree_control"}

// Create makes the sandbox's group and gives it to owner, its root: it can
// divide what it was given and not raise it.
func (t *Tree) Create(id string, owner int) error {
	for _, m := range t.mounts {
		dir := t.dir(m, id)
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

// Remove kills what is left in the sandbox's group and removes it; a missing
// one is fine.
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

// Kill kills every process of the sandbox's group, those too that the sandbox
// has frozen in groups of its own: in v1 they die only when they are thawed.
func (t *Tree) Kill(id string) error {
	_, err := t.kill(id)
	return err
}

func (t *Tree) kill(id string) (left bool, err error) {
	for _, m := range t.mounts {
		err := t.eachGroup(m, id, func(dir string, pids []int) {
			for _, pid := range pids {
				left = true
				if pid > 0 {
					_ = unix.Kill(pid, unix.SIGKILL)
				}
			}
			if !t.v2 && filepath.Base(m) == "freezer" {
				_ = os.WriteFile(filepath.Join(dir, "freezer.state"), []byte("THAWED"), 0) // or it goes, or it was
			}
		})
		if err != nil {
			return left, err
		}
	}
	return left, nil
}

// Processes are those of the sandbox's group and of the groups below it.
func (t *Tree) Processes(id string) (pids []int) {
	for _, m := range t.mounts {
		// What cannot be read has gone since.
		_ = t.eachGroup(m, id, func(_ string, found []int) {
			for _, pid := range found {
				if pid > 0 && !slices.Contains(pids, pid) {
					pids = append(pids, pid)
				}
			}
		})
	}
	return pids
}

// eachGroup calls f for the sandbox's group below a mount and for every group in
// it, with the processes of that group; one of another pid namespace is 0.
func (t *Tree) eachGroup(mount, id string, f func(dir string, pids []int)) error {
	return filepath.WalkDir(t.dir(mount, id), func(path string, d fs.DirEntry, err error) error {
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

// ignoreGone forgives what vanishes while it is looked at. A threaded group
// (EOPNOTSUPP) lists its processes at its parent.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

func (t *Tree) rmdir(id string) error {
	for _, m := range t.mounts {
		if err := rmdirTree(t.dir(m, id)); err != nil {
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
	for _, m := range t.mounts {
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
	for _, m := range t.mounts {
		if err := unix.Rmdir(filepath.Join(m, t.parent)); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove cgroup %s: %w", t.parent, err)
		}
	}
	return nil
}
