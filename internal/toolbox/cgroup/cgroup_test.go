package cgroup

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// group makes one of files by their names.
func group(t *testing.T, files map[string]string) *Group {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	g, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// v1 and v2 are the same sandbox, as far as v1 counts.
var (
	v1 = map[string]string{
		"memory/memory.limit_in_bytes": "1073741824", "memory/memory.usage_in_bytes": "500000000", "memory/memory.kmem.usage_in_bytes": "3000000",
		"memory/memory.stat":        "cache 7\ntotal_cache 100000000\ntotal_rss 390000000\ntotal_shmem 4000000\ntotal_active_file 60000000\ntotal_inactive_file 36000000",
		"memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3",
		"cpu/cpu.cfs_quota_us":      "150000", "cpu/cpu.cfs_period_us": "100000", "cpu/cpu.stat": "nr_periods 9\nnr_throttled 4\nthrottled_time 700000000",
		"cpuacct/cpuacct.stat": "user 200\nsystem 50", "pids/pids.current": "12",
	}
	v2 = map[string]string{
		"memory.max": "1073741824", "memory.current": "500000000",
		"memory.stat":   "anon 390000000\nfile 100000000\nkernel 5\nshmem 4000000\nslab_unreclaimable 3000000\nactive_file 60000000\ninactive_file 36000000",
		"memory.events": "low 0\nhigh 0\nmax 70\noom 5\noom_kill 3\noom_group_kill 0", "memory.events.local": "max 60\noom 3\noom_kill 2",
		"cpu.max": "150000 100000", "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nthrottled_usec 700000", "pids.current": "12",
	}
)

func TestBothVersionsTellTheSame(t *testing.T) {
	together := map[string]string{ // as Debian mounts it
		"cpu,cpuacct/cpu.cfs_quota_us": v1["cpu/cpu.cfs_quota_us"], "cpu,cpuacct/cpu.cfs_period_us": v1["cpu/cpu.cfs_period_us"],
		"cpu,cpuacct/cpu.stat": v1["cpu/cpu.stat"], "cpu,cpuacct/cpuacct.stat": v1["cpuacct/cpuacct.stat"],
	}
	for name, text := range v1 {
		if dir := filepath.Dir(name); dir == "memory" || dir == "pids" {
			together[name] = text
		}
	}
	want := Memory{Limit: 1 << 30, Used: 500_000_000, Anon: 390_000_000, File: 100_000_000, Shmem: 4_000_000, ActiveFile: 60_000_000, InactiveFile: 36_000_000, SlabUnreclaimable: 3_000_000}
	for name, files := range map[string]map[string]string{"v1": v1, "v1 with controllers together": together, "v2": v2} {
		g := group(t, files)
		if m, ok := g.Memory(); !ok || m != want {
			t.Errorf("%s: memory %+v, %v", name, m, ok)
		} else if m.Available() != 1<<30-404_000_000 {
			t.Errorf("%s: available %d", name, m.Available())
		}
		if q := g.Quota(); q != 1.5 || g.Cores() != min(2, runtime.NumCPU()) {
			t.Errorf("%s: quota %v, cores %d", name, q, g.Cores())
		}
		if c, ok := g.CPU(); !ok || c != (CPU{User: 2 * time.Second, System: 500 * time.Millisecond, Throttled: 700 * time.Millisecond}) {
			t.Errorf("%s: CPU %+v, %v", name, c, ok)
		}
		if g.Tasks() != 12 || g.OutOfMemory() != 3 || g.OOMKills() != 3 {
			t.Errorf("%s: tasks %d, out of memory %d, kills %d", name, g.Tasks(), g.OutOfMemory(), g.OOMKills())
		}
	}
}

func TestWithoutALimitItIsTheMachine(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"v1": {"memory/memory.usage_in_bytes": "1", "memory/memory.limit_in_bytes": "9223372036854771712", "cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
		"v2": {"memory.current": "1", "memory.max": "max", "cpu.max": "max 100000"},
	} {
		g := group(t, files)
		m, ok := g.Memory()
		if !ok || m.Limit < 1<<20 || m.Limit > 1<<60 || g.Quota() != 0 || g.Cores() != runtime.NumCPU() {
			t.Errorf("%s: %+v %v, quota %v, cores %d", name, m, ok, g.Quota(), g.Cores())
		}
	}
}

func TestWithoutAGroupNothingIsKnown(t *testing.T) {
	for name, g := range map[string]*Group{"nil": nil, "empty": group(t, nil)} {
		if _, ok := g.Memory(); ok {
			t.Errorf("%s: it tells of memory", name)
		}
		if _, ok := g.CPU(); ok {
			t.Errorf("%s: it tells of CPU", name)
		}
		if g.Quota() != 0 || g.Cores() != runtime.NumCPU() {
			t.Errorf("%s: quota %v, cores %d", name, g.Quota(), g.Cores())
		}
	}
}
