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

func TestWithoutAGroupTheMachineCounts(t *testing.T) {
	s := system(t, map[string]string{"proc/meminfo": meminfo, "proc/stat": "cpu  100 0 50 9000 10 5 5 0 0 0"})
	if total, used, cache := s.memory(); total != 16000000<<10 || used != 4000000<<10 || cache != 3000000<<10 {
		t.Errorf("memory %d %d %d", total, used, cache)
	}
	if used := s.cpuTime(); used != 1600*time.Millisecond {
		t.Errorf("CPU time %v", used)
	}
}

func TestAnswerOfThisMachine(t *testing.T) {
	mux := http.NewServeMux()
	New(nil).Register(mux)
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
