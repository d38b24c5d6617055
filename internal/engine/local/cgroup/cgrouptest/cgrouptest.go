// Package cgrouptest looks at control groups for tests, on machines with either
// version of cgroups. No other test knows one from the other.
package cgrouptest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const root = "/sys/fs/cgroup"

// Trees are the directories in which groups can be: the root with v2; with v1
// one for each controller, of which it may be that none is mounted.
func Trees(t testing.TB) []string {
	t.Helper()
	if version2(root) {
		return []string{root}
	}
	below, err := filepath.Glob(root + "/*")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(below, func(dir string) bool {
		var st unix.Statfs_t
		return unix.Statfs(dir, &st) != nil || st.Type != unix.CGROUP_SUPER_MAGIC && st.Type != unix.CGROUP2_SUPER_MAGIC
	})
}

func version2(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// Delegated is what a sandbox's root may write below /sys/fs/cgroup. Its
// processes are its own to move between its groups; with v2 those below its own
// are its own as well. The limits are those of its own group.
func Delegated() *regexp.Regexp {
	if version2(root) {
		return regexp.MustCompile(`^/sys/fs/cgroup/(cgroup\.(procs|threads|subtree_control)$|[^/]+/)`)
	}
	return regexp.MustCompile(`^/sys/fs/cgroup/([\w,]+/)?(cgroup\.(procs|threads|subtree_control)|tasks)$`)
}

// Glob finds groups by a pattern of their path below the root, in every tree.
func Glob(t testing.TB, pattern string) (all []string) {
	t.Helper()
	for _, p := range []string{root, root + "/*"} {
		found, err := filepath.Glob(filepath.Join(p, pattern))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}

// Freezing tells whether a group has been told to freeze, by its FreezerFile.
func Freezing(file string) bool {
	b, _ := os.ReadFile(file) // of a group that has gone, nothing stands still
	return slices.Contains([]string{"1", "FROZEN", "FREEZING"}, strings.TrimSpace(string(b)))
}

// FreezerFile is the file that freezes a group: that of the controller, where
// there is one.
func FreezerFile(t testing.TB, group string) string {
	t.Helper()
	for _, name := range []string{"freezer.state", "cgroup.freeze"} {
		if found := Glob(t, filepath.Join(group, name)); len(found) > 0 {
			return found[0]
		}
	}
	t.Fatalf("the group %s cannot be frozen", group)
	return ""
}

// LimitFiles are the names of the files with a group's limits.
var LimitFiles = []string{"memory.max", "memory.limit_in_bytes", "pids.max", "cpu.max", "cpu.cfs_quota_us"}

// RaiseLimits are commands by which root in a sandbox would raise its limits, by
// what they are after. Each must fail.
var RaiseLimits = map[string]string{
	"raise its memory":                           "test -e /sys/fs/cgroup/memory.max && echo max >/sys/fs/cgroup/memory.max",
	"raise its memory by the controller":         "echo -1 >/sys/fs/cgroup/memory/memory.limit_in_bytes",
	"raise its processes":                        "test -e /sys/fs/cgroup/pids.max && echo max >/sys/fs/cgroup/pids.max",
	"raise its processes by the controller":      "echo max >/sys/fs/cgroup/pids/pids.max",
	"raise its processor time":                   "test -e /sys/fs/cgroup/cpu.max && echo max >/sys/fs/cgroup/cpu.max",
	"raise its processor time by the controller": "echo -1 >/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
}

// ShowLimits is a command that shows a sandbox's limits of memory and processor
// time from inside.
const ShowLimits = `cd /sys/fs/cgroup; cat memory.max memory/memory.limit_in_bytes cpu.max cpu/cpu.cfs_quota_us 2>/dev/null | tr '\n' ' '; echo`

// ShowMemoryLimit is the same for memory alone.
const ShowMemoryLimit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null"

// MakeInner is a command that makes groups below the sandbox's own, as containers
// in it have, with the quota of two cores each, and shows it.
const MakeInner = `cd /sys/fs/cgroup; echo +cpu >cgroup.subtree_control; [ -d cpu ] && cd cpu; mkdir -p one/below; echo +cpu >one/cgroup.subtree_control
	for d in one one/below; do echo "200000 100000" >$d/cpu.max; echo 200000 >$d/cpu.cfs_quota_us; done; cat one/below/cpu.max one/below/cpu.cfs_quota_us`

// FreezeAll is a command that freezes every other process of the sandbox in an
// inner group. With v1 those do not even die.
const FreezeAll = `g=/sys/fs/cgroup; [ -d $g/freezer ] && g=$g/freezer
	mkdir -p $g/deep/er && for p in $(cat $g/cgroup.procs $g/*/cgroup.procs); do [ $p = $$ ] || echo $p >$g/deep/er/cgroup.procs; done
	echo FROZEN >$g/deep/er/freezer.state; echo 1 >$g/deep/er/cgroup.freeze; echo 1 >$g/deep/cgroup.freeze`
