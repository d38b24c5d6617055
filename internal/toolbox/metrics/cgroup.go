package metrics

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The sandbox has a cgroup namespace, so its own limits are in the root of what
// it sees, even after something inside moved the agent to a child cgroup.
// Controllers of version 1 have a directory each.

func (s *Service) read(path ...string) string {
	b, err := os.ReadFile(filepath.Join(append([]string{s.root}, path...)...))
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(b))
}

func (s *Service) cgroup(v2, v1 string) string {
	if text := s.read("sys/fs/cgroup", v2); text != "" {
		return text
	}
	return s.read("sys/fs/cgroup", v1)
}

// quota is the limit in cores, 0 for none.
func (s *Service) quota() float64 {
	quota, period, ok := strings.Cut(s.read("sys/fs/cgroup/cpu.max"), " ")
	if !ok {
		quota, period = s.read("sys/fs/cgroup/cpu/cpu.cfs_quota_us"), s.read("sys/fs/cgroup/cpu/cpu.cfs_period_us")
	}
	q, err1 := strconv.ParseFloat(quota, 64)
	p, err2 := strconv.ParseFloat(period, 64)
	if err1 != nil || err2 != nil || q <= 0 || p <= 0 {
		return 0
	}
	return q / p
}

// cpuTime is the CPU time used by everything in the sandbox.
func (s *Service) cpuTime() time.Duration {
	if us, ok := field(s.read("sys/fs/cgroup/cpu.stat"), "usage_usec"); ok {
		return time.Duration(us) * time.Microsecond
	}
	for _, dir := range []string{"cpuacct", "cpu,cpuacct", "cpu"} {
		if ns, err := strconv.ParseInt(s.read("sys/fs/cgroup", dir, "cpuacct.usage"), 10, 64); err == nil {
			return time.Duration(ns)
		}
	}
	// proc_stat(5): cpu user nice system idle iowait irq softirq steal, in ticks of 1/100 s.
	first, _, _ := strings.Cut(s.read("proc/stat"), "\n")
	var ticks int64
	for i, f := range strings.Fields(first) {
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, _ := strconv.ParseInt(f, 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// memory returns the limit, what is used without the page cache, and the cache.
func (s *Service) memory() (total, used, cache uint64) {
	info := s.read("proc/meminfo")
	kB := func(name string) uint64 {
		n, _ := field(info, name+":")
		return uint64(max(n, 0)) << 10
	}
	total, cache = kB("MemTotal"), kB("Cached")
	used = total - min(total, kB("MemAvailable"))

	current, err := strconv.ParseUint(s.cgroup("memory.current", "memory/memory.usage_in_bytes"), 10, 64)
	if err != nil {
		return total, used, cache
	}
	stat := s.cgroup("memory.stat", "memory/memory.stat")
	file, ok := field(stat, "file")
	if !ok {
		file, _ = field(stat, "total_cache")
	}
	cache = uint64(max(file, 0))
	used = current - min(current, cache)
	// Without a limit the file says "max", or a number larger than any memory.
	limit, err := strconv.ParseUint(s.cgroup("memory.max", "memory/memory.limit_in_bytes"), 10, 64)
	if err == nil && limit < total {
		total = limit
	}
	return total, used, cache
}

// OutOfMemory is how often the sandbox's own limit was met by a kill. A limit
// that something inside has set for a part of the sandbox does not count.
// Version 1 counts the kills among what is not in a part.
func (s *Service) OutOfMemory() int64 {
	if n, ok := field(s.read("sys/fs/cgroup/memory.events.local"), "oom"); ok {
		return n
	}
	n, _ := field(s.read("sys/fs/cgroup/memory/memory.oom_control"), "oom_kill")
	return n
}

// oomKills is how many processes the kernel has killed for memory.
func (s *Service) oomKills() int64 {
	if n, ok := field(s.read("sys/fs/cgroup/memory.events"), "oom_kill"); ok {
		return n
	}
	return s.OutOfMemory()
}

// MemoryLimit is the sandbox's, in bytes; without one it is the machine's memory.
func (s *Service) MemoryLimit() uint64 {
	total, _, _ := s.memory()
	return total
}

// field finds the number after a name at the beginning of a line.
func field(text, name string) (int64, bool) {
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) > 1 && f[0] == name {
			n, err := strconv.ParseInt(f[1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
