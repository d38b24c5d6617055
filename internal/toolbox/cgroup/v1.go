package cgroup

import (
	"path/filepath"
	"strconv"
	"time"
)

// What follows reads a sandbox of a machine with cgroup v1, which has a directory
// for each controller. Each is asked when v2's file is not there.

func (g *Group) quotaV1() (quota, period string) {
	return g.controller("cpu", "cpu.cfs_quota_us"), g.controller("cpu", "cpu.cfs_period_us")
}

func (g *Group) cpuV1() (c CPU, ok bool) {
	const tick = time.Second / 100 // USER_HZ is 100 on every architecture that Go knows
	used := fields(g.controller("cpuacct", "cpuacct.stat"))
	_, ok = used["user"]
	throttled := fields(g.controller("cpu", "cpu.stat"))["throttled_time"]
	return CPU{User: time.Duration(used["user"]) * tick, System: time.Duration(used["system"]) * tick, Throttled: time.Duration(throttled)}, ok
}

func (g *Group) memoryV1() (m Memory, ok bool) {
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

func (g *Group) memoryLimitV1() string { return g.read("memory/memory.limit_in_bytes") }

// outOfMemoryV1 counts the kills among what is in no inner group.
func (g *Group) outOfMemoryV1() int64 {
	return int64(fields(g.read("memory/memory.oom_control"))["oom_kill"])
}

func (g *Group) tasksV1() string { return g.read("pids/pids.current") }

// controller reads a file of a controller. Some distributions mount two together.
func (g *Group) controller(name, file string) string {
	for _, dir := range []string{name, "cpu,cpuacct"} {
		if text := g.read(filepath.Join(dir, file)); text != "" {
			return text
		}
	}
	return ""
}
