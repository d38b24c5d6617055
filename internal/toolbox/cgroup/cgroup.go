// Package cgroup reads the control group that the sandbox is: its limits and
// what all of it uses. It is written for cgroup v2; what a machine with v1 needs
// instead is in v1.go, and nowhere else in the agent. The sandbox has a cgroup
// namespace, so its own group is the root of what it sees, even after something
// inside moved the agent to a child.
package cgroup

import (
	"bytes"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Group is the sandbox's own. A nil one knows no limits.
type Group struct{ dir *os.Root }

// Open opens the directory where control groups are mounted. It is kept open:
// what the sandbox mounts over it later changes nothing.
func Open(dir string) (*Group, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Group{root}, nil
}

// CPU is processor time used since the sandbox was started.
type CPU struct {
	User, System time.Duration
	// Throttled is how long its processes were kept from running by the limit,
	// added up over the machine's processors.
	Throttled time.Duration
}

// Memory is in bytes. What the kernel does not count is 0.
type Memory struct {
	Limit uint64 // the machine's memory when there is none
	Used  uint64 // with the page cache

	Anon, File, Shmem, Mapped, Dirty, Writeback                     uint64 // File includes Shmem
	ActiveAnon, InactiveAnon, ActiveFile, InactiveFile, Unevictable uint64
	KernelStack, PageTables, SlabReclaimable, SlabUnreclaimable     uint64
	HugePages                                                       uint64 // of Anon
}

// Available is how much more the sandbox could use: the kernel first drops
// files' pages and slabs.
func (m Memory) Available() uint64 {
	kept := m.Used - min(m.Used, m.ActiveFile+m.InactiveFile+m.SlabReclaimable)
	return m.Limit - min(m.Limit, kept)
}

// Quota is the limit in cores, 0 for none.
func (g *Group) Quota() float64 {
	quota, period, ok := strings.Cut(g.read("cpu.max"), " ")
	if !ok {
		quota, period = g.quotaV1()
	}
	q, err1 := strconv.ParseFloat(quota, 64)
	p, err2 := strconv.ParseFloat(period, 64)
	if err1 != nil || err2 != nil || q <= 0 || p <= 0 {
		return 0
	}
	return q / p
}

// Cores are the whole cores that the sandbox may use now, rounded up.
func (g *Group) Cores() int {
	if quota := g.Quota(); quota > 0 {
		return min(int(math.Ceil(quota)), runtime.NumCPU())
	}
	return runtime.NumCPU()
}

// CPU is the processor time used; not ok when it cannot be seen.
func (g *Group) CPU() (c CPU, ok bool) {
	stat := fields(g.read("cpu.stat"))
	if _, ok := stat["usage_usec"]; ok {
		us := func(name string) time.Duration { return time.Duration(stat[name]) * time.Microsecond }
		return CPU{User: us("user_usec"), System: us("system_usec"), Throttled: us("throttled_usec")}, true
	}
	return g.cpuV1()
}

// Memory is the limit and the use; not ok when they cannot be seen.
func (g *Group) Memory() (m Memory, ok bool) {
	if used, err := strconv.ParseUint(g.read("memory.current"), 10, 64); err == nil {
		stat := fields(g.read("memory.stat"))
		return Memory{
			Limit: g.MemoryLimit(), Used: used,
			Anon: stat["anon"], File: stat["file"], Shmem: stat["shmem"], Mapped: stat["file_mapped"], Dirty: stat["file_dirty"], Writeback: stat["file_writeback"],
			ActiveAnon: stat["active_anon"], InactiveAnon: stat["inactive_anon"], ActiveFile: stat["active_file"], InactiveFile: stat["inactive_file"], Unevictable: stat["unevictable"],
			KernelStack: stat["kernel_stack"], PageTables: stat["pagetables"],
			SlabReclaimable: stat["slab_reclaimable"], SlabUnreclaimable: stat["slab_unreclaimable"], HugePages: stat["anon_thp"],
		}, true
	}
	return g.memoryV1()
}

// MemoryLimit is the sandbox's, in bytes; without one it is the machine's memory.
func (g *Group) MemoryLimit() uint64 {
	text := g.read("memory.max")
	if text == "" {
		text = g.memoryLimitV1()
	}
	// Without a limit it is "max", or a number larger than any memory.
	limit, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		limit = math.MaxUint64
	}
	var machine unix.Sysinfo_t
	if unix.Sysinfo(&machine) != nil {
		return limit
	}
	return min(limit, uint64(machine.Totalram)*uint64(machine.Unit))
}

// OutOfMemory is how often the sandbox's own limit was met by a kill. A limit
// that something inside has set for a part of the sandbox does not count.
func (g *Group) OutOfMemory() int64 {
	if n, ok := fields(g.read("memory.events.local"))["oom"]; ok {
		return int64(n)
	}
	return g.outOfMemoryV1()
}

// OOMKills is how many processes the kernel has killed for memory.
func (g *Group) OOMKills() int64 {
	if n, ok := fields(g.read("memory.events"))["oom_kill"]; ok {
		return int64(n)
	}
	return g.outOfMemoryV1()
}

// Tasks is how many processes and threads there are; 0 when that cannot be seen.
func (g *Group) Tasks() int {
	text := g.read("pids.current")
	if text == "" {
		text = g.tasksV1()
	}
	n, _ := strconv.Atoi(text)
	return n
}

// read returns a file's text without the space around it, "" for none.
func (g *Group) read(path string) string {
	if g == nil {
		return ""
	}
	b, err := g.dir.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(b))
}

// fields are the numbers of lines of a name and a number.
func fields(text string) map[string]uint64 {
	all := map[string]uint64{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			all[name] = n
		}
	}
	return all
}
