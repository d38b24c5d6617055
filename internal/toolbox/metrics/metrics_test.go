package metrics

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/toolbox/boot"
)

func system(t *testing.T, files map[string]string) *Service {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &Service{root: root}
}

const meminfo = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:   12000000 kB\nCached:          3000000 kB"

func TestLimitsOfTheCgroup(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"version 2": {
			"proc/meminfo": meminfo, "sys/fs/cgroup/memory.max": "1073741824", "sys/fs/cgroup/memory.current": "500000000",
			"sys/fs/cgroup/memory.stat":   "anon 1\nfile 100000000\nkernel 5",
			"sys/fs/cgroup/memory.events": "low 0\nhigh 0\nmax 70\noom 5\noom_kill 3\noom_group_kill 0", "sys/fs/cgroup/memory.events.local": "max 60\noom 3\noom_kill 2", "sys/fs/cgroup/cpu.max": "150000 100000",
			"sys/fs/cgroup/cpu.stat": "usage_usec 2500000\nuser_usec 1",
		},
		"version 1": {
			"proc/meminfo": meminfo, "sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824",
			"sys/fs/cgroup/memory/memory.usage_in_bytes": "500000000", "sys/fs/cgroup/memory/memory.stat": "cache 7\ntotal_cache 100000000",
			"sys/fs/cgroup/memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3",
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us":      "150000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
			"sys/fs/cgroup/cpuacct/cpuacct.usage": "2500000000",
		},
	} {
		s := system(t, files)
		total, used, cache := s.memory()
		if total != 1<<30 || used != 400_000_000 || cache != 100_000_000 {
			t.Errorf("%s: memory %d %d %d", name, total, used, cache)
		}
		if q := s.quota(); q != 1.5 {
			t.Errorf("%s: quota %v", name, q)
		}
		if out, kills := s.OutOfMemory(), s.oomKills(); out != 3 || kills != 3 {
			t.Errorf("%s: out of memory %d times, %d kills", name, out, kills)
		}
		if used := s.cpuTime(); used != 2500*time.Millisecond {
			t.Errorf("%s: CPU time %v", name, used)
		}
	}
}

func TestWithoutLimitsTheMachineCounts(t *testing.T) {
	s := system(t, map[string]string{
		"proc/meminfo": meminfo, "proc/stat": "cpu  100 0 50 9000 10 5 5 0 0 0", "sys/fs/cgroup/memory.max": "max",
		"sys/fs/cgroup/memory.current": "1000", "sys/fs/cgroup/cpu.max": "max 100000",
	})
	if total, _, _ := s.memory(); total != 16000000<<10 {
		t.Errorf("memory %d", total)
	}
	if s.quota() != 0 || s.cores() < 1 {
		t.Errorf("quota %v, cores %v", s.quota(), s.cores())
	}
	if used := s.cpuTime(); used != 1600*time.Millisecond {
		t.Errorf("CPU time %v", used)
	}
}

func TestAnswerOfThisMachine(t *testing.T) {
	mux := http.NewServeMux()
	New().Register(mux)
	var stop atomic.Bool
	go func() { // something to measure
		for !stop.Load() {
			runtime.Gosched()
		}
	}()
	defer stop.Store(true)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/system/metrics", nil))
	var v view
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	told := httptest.NewRequest(http.MethodGet, "/system/metrics", nil)
	told.Header.Set(boot.DiskLimit, "3000")
	told.Header.Set(boot.DiskUsed, "1000")
	w = httptest.NewRecorder()
	mux.ServeHTTP(w, told)
	var own view
	if err := json.Unmarshal(w.Body.Bytes(), &own); err != nil || own.DiskTotal != 3000 || own.DiskUsed != 1000 || own.DiskFree != 2000 {
		t.Errorf("%+v, %v", own, err)
	}
	if v.CPUCount < 1 || v.CPUUsedPct <= 0 || v.CPUUsedPct > 100 || v.MemTotal == 0 || v.MemUsed == 0 || v.MemUsed > v.MemTotal ||
		v.DiskTotal == 0 || v.DiskFree > v.DiskTotal || v.Timestamp == "" || time.Since(time.Unix(v.TimestampUnix, 0)) > time.Minute {
		t.Errorf("%+v", v)
	}
}
