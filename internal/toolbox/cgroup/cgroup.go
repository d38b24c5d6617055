// Package cgroup reads the control group that the sandbox is: its limits and
// what all of it uses. It alone in the agent knows cgroup v1, with a directory
// for each controller, from v2. The sandbox has a cgroup namespace, so its own
// group is the root of what it sees, even after something inside moved the
// agent to a child. It imports nothing of the house.
package cgroup

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
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
		quota, period = g.controller("cpu", "cpu.cfs_quota_us"), g.controller("cpu", "cpu.cfs_period_us")
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
	const tick = time.Second / 100 // USER_HZ is 100 on every architecture that Go knows
	used := fields(g.controller("cpuacct", "cpuacct.stat"))
	_, ok = used["user"]
	throttled := fields(g.controller("cpu", "cpu.stat"))["throttled_time"]
	return CPU{User: time.Duration(used["user"]) * tick, System: time.Duration(used["system"]) * tick, Throttled: time.Duration(throttled)}, ok
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
	used, err := strconv.ParseUint(g.read("memory/memory.usage_in_bytes"), 10, 64)
	if err != nil {
		return Memory{}, false
	}
	stat := fields(g.read("memory/memory.stat"))
	// Kernel memory is counted but not told apart.
	kernel, _ := strconv.ParseUint(g.read("memory/memory.kmem.usage_in_bytes"), 10, 64)
	return Memory{
		Limit: g.MemoryLimit(), Used: used,
		Anon: stat["total_rss"], File: stat["total_cache"], Shmem: stat["total_shmem"], Mapped: stat["total_mapped_file"], Dirty: stat["total_dirty"], Writeback: stat["total_writeback"],
		ActiveAnon: stat["total_active_anon"], InactiveAnon: stat["total_inactive_anon"], ActiveFile: stat["total_active_file"], InactiveFile: stat["total_inactive_file"], Unevictable: stat["total_unevictable"],
		SlabUnreclaimable: kernel, HugePages: stat["total_rss_huge"],
	}, true
}

// MemoryLimit is the sandbox's, in bytes; without one it is the machine's memory.
func (g *Group) MemoryLimit() uint64 {
	text := g.read("memory.max")
	if text == "" {
		text = g.read("memory/memory.limit_in_bytes")
	}
	// Without a limit the file says "max", or a number larger than any memory.
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
// Version 1 counts the kills among what is not in a part.
func (g *Group) OutOfMemory() int64 {
	if n, ok := fields(g.read("memory.events.local"))["oom"]; ok {
		return int64(n)
	}
	return int64(fields(g.read("memory/memory.oom_control"))["oom_kill"])
}

// OOMKills is how many processes the kernel has killed for memory.
func (g *Group) OOMKills() int64 {
	if n, ok := fields(g.read("memory.events"))["oom_kill"]; ok {
		return int64(n)
	}
	return g.OutOfMemory()
}

// Tasks is how many processes and threads there are; 0 when that cannot be seen.
func (g *Group) Tasks() int {
	text := g.read("pids.current")
	if text == "" {
		text = g.read("pids/pids.current")
	}
	n, _ := strconv.Atoi(text)
	return n
}

// controller reads a file of v1, where some distributions mount two controllers
// together.
func (g *Group) controller(name, file string) string {
	for _, dir := range []string{name, "cpu,cpuacct"} {
		if text := g.read(filepath.Join(dir, file)); text != "" {
			return text
		}
	}
	return ""
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
