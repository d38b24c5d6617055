package cgroup

import (
	"os"
	"path/filepath"

	"github.com/containerd/cgroups/v3"
)

// Warm spares the OCI runtime a wait of 5 to 10 ms. Moving a process between
// groups takes a lock that is slow to take first (a grace period of RCU) and
// quick for some 15 ms after, unless the machine is booted with
// cgroup_favordynmods. So it is taken while other things are being done, by
// moving this process to where it is. What fails here costs only time.
func (t *Tree) Warm() {
	legacy, own, err := cgroups.ParseCgroupFileUnified("/proc/self/cgroup")
	if err != nil {
		return
	}
	if t.v1 != nil {
		t.v1.warm(legacy)
		return
	}
	_ = stay(filepath.Join(root, own))
}

// stay moves this process to the group it is in.
func stay(dir string) error {
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0)
}
