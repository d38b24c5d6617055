package cgroup

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// delegatedTree is the group that the service manager has given to this
// service, as a path below the root, "" for none. The service must have been
// started in a group of its own in it (DelegateSubgroup=, from systemd 254 on):
// one that moved there by itself could not be started again while sandboxes run,
// because the manager may not put a process where the groups below are limited.
func delegatedTree() string {
	if openV1() != nil {
		return ""
	}
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	return delegatedAbove(root, string(b))
}

// delegatedAbove finds it for the process whose groups (cgroups(7)) are given.
func delegatedAbove(root, groups string) string {
	own, found := strings.CutPrefix(strings.TrimSpace(groups), "0::/")
	if !found {
		return ""
	}
	above := filepath.Dir(own)
	// So systemd marks what it leaves to others (cgroup-util.c).
	mark := make([]byte, 1)
	n, err := unix.Getxattr(filepath.Join(root, above), "trusted.delegate", mark)
	if above == "." || err != nil || n != 1 || mark[0] != '1' {
		return ""
	}
	return above
}
