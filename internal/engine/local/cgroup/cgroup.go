// Package cgroup makes and reads the sandboxes' control groups. The OCI runtime
// applies the limits; this package makes the directories, gives them to the
// sandbox's root, reads them, changes limits while the sandbox runs, and removes
// them. It is written for cgroup v2. What a machine with v1 needs instead is in
// v1.go, and nowhere else in the server.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/cgroups/v3/cgroup2"
	"golang.org/x/sys/unix"
)

// root is where the distributions mount cgroups.
const root = "/sys/fs/cgroup"

// Tree is one parent group with a child for each sandbox.
type Tree struct {
	parent string // below the root, without a slash
	v1     *v1    // nil, but on a machine with v1
}

// Open makes the parent group of that name: in the part of the tree that a
// service manager has given to this service, so that the service's limits hold
// for all sandboxes together, or else at the root. While sandboxes are in the
// parent that last names, from another start, it stays that one.
func Open(name, last string) (*Tree, error) {
	t := at(name, last)
	for _, m := range t.mounts() {
		if err := os.MkdirAll(filepath.Join(m, t.parent), 0o755); err != nil {
			return nil, fmt.Errorf("make cgroup %s: %w", t.parent, err)
		}
	}
	if t.v1 == nil {
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
func At(parent string) *Tree { return &Tree{parent: parent, v1: openV1()} }

// Parent is the path of the parent group below the root, for another Open.
func (t *Tree) Parent() string { return t.parent }

// OCIPath names the sandbox's group in an OCI runtime's configuration.
func (t *Tree) OCIPath(id string) string { return "/" + t.parent + "/" + id }

// Controllers are those this machine can limit with.
func Controllers() []string {
	if v1 := openV1(); v1 != nil {
		return v1.controllers()
	}
	return controllers(root)
}

func controllers(mount string) []string {
	b, err := os.ReadFile(filepath.Join(mount, "cgroup.controllers"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b))
}

// mounts are the roots of the trees that every sandbox has a group in.
func (t *Tree) mounts() []string {
	if t.v1 != nil {
		return t.v1.mounts
	}
	return []string{root}
}

// dir is the sandbox's group.
func (t *Tree) dir(id string) string { return filepath.Join(root, t.parent, id) }

// group is the sandbox's group in the library's terms.
func (t *Tree) group(id string) (*cgroup2.Manager, error) { return cgroup2.Load(t.OCIPath(id)) }

// needed are the controllers without which sandboxes have no limits; wanted are
// for what runs in them, a kubelet for one.
var (
	needed = []string{"cpu", "memory", "pids"}
	wanted = []string{"cpuset", "io", "hugetlb", "rdma", "misc"}
)

// enable lets groups below the parent be limited, with each controller that there
// is. A group either holds processes or limits its children, so inside a
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

// LimitsSwap tells whether the kernel can limit swap. One without swap
// accounting ignores the limit.
func (t *Tree) LimitsSwap() bool { return t.v1 == nil || t.v1.limitsSwap(t.parent) }

// ignoreGone forgives what vanishes while it is looked at. A threaded group
// (EOPNOTSUPP) lists its processes at its parent.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}
