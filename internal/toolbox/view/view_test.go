package view

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/opendaytona/daytona/internal/toolbox/cgroup"
)

const (
	cpuinfo = "processor\t: 0\nmodel name\t: one\n\nprocessor\t: 1\nmodel name\t: two\n\n"
	arm     = "processor\t: 0\nBogoMIPS\t: 1\n\nprocessor\t: 1\nBogoMIPS\t: 1\n\nHardware\t: a board\n"
	kernel  = "MemTotal:       16000000 kB\nMemFree:         9000000 kB\nMemAvailable:   12000000 kB\nBuffers:           94084 kB\nCached:          3000000 kB\n" +
		"Active(anon):      10204 kB\nSUnreclaim:        84076 kB\nVmallocTotal:   34359738367 kB\nHugePages_Total:       3\nHugepagesize:       2048 kB\n"
)

func sandbox(t *testing.T, group, proc map[string]string) *View {
	t.Helper()
	open := func(files map[string]string) string {
		dir := t.TempDir()
		for name, text := range files {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	g, err := cgroup.Open(open(group))
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(open(proc))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return &View{group: g, kernel: root, usage: since(time.Now().Add(-10 * time.Second))}
}

func oneCore(t *testing.T) *View {
	return sandbox(t, map[string]string{
		"memory.max": "1073741824\n", "memory.current": "500000768\n", "memory.stat": "anon 390000640\nfile 100000768\nactive_anon 1024\nactive_file 100000768\nslab_unreclaimable 4096\n",
		"cpu.max": "100000 100000\n", "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nthrottled_usec 2500000\n", "pids.current": "12\n",
	}, map[string]string{
		"meminfo": kernel, "cpuinfo": cpuinfo, "stat": "cpu  1 2 3\ncpu0 1 2 3\ncpu1 1 2 3\nintr 7\nbtime 1795551617\nprocesses 9\n",
		"uptime": "10.25 77.00\n", "loadavg": "9.00 8.00 7.00 3/400 321\n",
	})
}

func TestMeminfoIsTheSandboxes(t *testing.T) {
	want := "MemTotal:        1048576 kB\nMemFree:          560294 kB\nMemAvailable:     657951 kB\nBuffers:               0 kB\nCached:            97657 kB\n" +
		"Active(anon):          1 kB\nSUnreclaim:            4 kB\nVmallocTotal:   34359738367 kB\nHugePages_Total:       0\nHugepagesize:       2048 kB\n"
	if got := oneCore(t).meminfo(); got != want {
		t.Errorf("it says\n%s", got)
	}
}

func TestOnlyTheSandboxesProcessorsAreTold(t *testing.T) {
	if got := oneCore(t).cpuinfo(); got != "processor\t: 0\nmodel name\t: one\n\n" {
		t.Errorf("it says\n%s", got)
	}
	for n, want := range map[int]string{1: "processor\t: 0\nBogoMIPS\t: 1\n\nHardware\t: a board\n", 2: arm, 64: arm} {
		if got := firstProcessors(arm, n); got != want {
			t.Errorf("%d of them: %s", n, got)
		}
	}
	if got := oneCore(t).processors(); got != "0\n" {
		t.Errorf("the list is %q", got)
	}
	two := sandbox(t, map[string]string{"cpu.max": "400000 100000\n"}, nil)
	if got := two.processors(); runtime.NumCPU() > 1 && got != "0-"+string(rune('0'+min(4, runtime.NumCPU())-1))+"\n" {
		t.Errorf("the list is %q", got)
	}
}

func TestStatUptimeAndLoad(t *testing.T) {
	v := oneCore(t)
	// 10 s went by, 2.5 s of which were used, and 2.5 s the limit was in the way.
	lines := strings.Split(v.stat(), "\n")
	if lines[0] != "cpu  200 0 50 750 0 0 0 0 0 0" || lines[1] != "cpu0 200 0 50 750 0 0 0 0 0 0" || !strings.HasPrefix(lines[2], "intr ") {
		t.Errorf("stat says %q", lines)
	}
	if text := strings.Join(lines, "\n"); !strings.Contains(text, "\nbtime 1795551617\nprocesses 321\nprocs_running 1\n") {
		t.Errorf("stat says %q", text)
	}
	if got := v.uptime(); got != "10.25 7.50\n" {
		t.Errorf("uptime says %q", got)
	}
	if got := v.loadavg(); got != "0.08 0.02 0.01 1/12 321\n" {
		t.Errorf("loadavg says %q", got)
	}
}

func TestWithoutAGroupTheKernelIsHeard(t *testing.T) {
	v := sandbox(t, nil, map[string]string{"meminfo": kernel, "stat": "cpu  1\n", "uptime": "5.00 6.00\n", "loadavg": "1 2 3 4/5 6\n"})
	if v.meminfo() != kernel || v.stat() != "cpu  1\n" || v.uptime() != "5.00 6.00\n" || v.loadavg() != "1 2 3 4/5 6\n" {
		t.Errorf("they say %q %q %q %q", v.meminfo(), v.stat(), v.uptime(), v.loadavg())
	}
}

func TestCountersOnlyGrow(t *testing.T) {
	start := time.Now()
	u := since(start)
	var used cgroup.CPU
	var before core
	for i, step := range []struct {
		cores int
		busy  float64 // cores
	}{{1, 0.5}, {2, 1}, {2, 2}, {4, 0}, {1, 1}, {1, 1.2}, {2, 0}} {
		used.User += time.Duration(step.busy * float64(time.Second))
		u.look(start.Add(time.Duration(i+1)*time.Second), used, step.cores)
		now := u.total()
		if now.user < before.user || now.idle < before.idle {
			t.Errorf("step %d: %+v after %+v", i, now, before)
		}
		if want := time.Duration(max(0, float64(step.cores)-step.busy) * float64(time.Second)); (now.idle - before.idle - want).Abs() > time.Millisecond {
			t.Errorf("step %d: idle for %v, not %v", i, now.idle-before.idle, want)
		}
		before = now
	}
	if before.user != used.User {
		t.Errorf("%v of %v used are told", before.user, used.User)
	}
}

func TestTheLoadIsThatOfAnHour(t *testing.T) {
	start := time.Now()
	u := since(start)
	used := cgroup.CPU{User: time.Hour, Throttled: time.Hour}
	u.look(start.Add(time.Hour), used, 1)
	for i, l := range u.load {
		if l < 1.9 || l > 2 {
			t.Errorf("average %d is %v", i, l)
		}
	}
	if u.running != 2 {
		t.Errorf("%d run", u.running)
	}
	u.look(start.Add(time.Hour+time.Minute), used, 1)
	if u.load[0] > 0.8 || u.load[2] < 1.7 {
		t.Errorf("a minute later it is %v", u.load)
	}
}

// A file is read as a program reads it: to its end, and again from the beginning.
func TestAFileIsOneTextUntilItWasRead(t *testing.T) {
	f := newFilesystem(oneCore(t))
	n := 0
	h := &handle{file: file{write: func(*View) string { n++; return strings.Repeat(string(rune('a'+n-1)), 10) }}}
	f.opened[1] = h
	read := func(offset uint64, size int) string {
		r, status := f.Read(nil, &fuse.ReadIn{Fh: 1, Offset: offset}, make([]byte, size))
		if status != fuse.OK {
			t.Fatal(status)
		}
		b, _ := r.Bytes(make([]byte, size))
		return string(b)
	}
	for i, step := range []struct {
		offset uint64
		size   int
		want   string
	}{{0, 4, "aaaa"}, {4, 4, "aaaa"}, {8, 4, "aa"}, {10, 4, ""}, {0, 100, strings.Repeat("b", 10)}, {10, 100, ""}, {1 << 40, 1, ""}, {5, 2, "cc"}} {
		if got := read(step.offset, step.size); got != step.want {
			t.Errorf("step %d: %q, not %q", i, got, step.want)
		}
	}
	f.Release(nil, &fuse.ReleaseIn{Fh: 1})
	if _, status := f.Read(nil, &fuse.ReadIn{Fh: 1}, make([]byte, 1)); status != fuse.EBADF {
		t.Errorf("a closed file: %v", status)
	}
}

func TestOpenedFilesAreBounded(t *testing.T) {
	f := newFilesystem(oneCore(t))
	var last uint64
	for i := range maxOpened {
		var out fuse.OpenOut
		if status := f.Open(nil, &fuse.OpenIn{InHeader: fuse.InHeader{NodeId: inode(i % len(files))}}, &out); status != fuse.OK {
			t.Fatal(status)
		}
		last = out.Fh
	}
	in := &fuse.OpenIn{InHeader: fuse.InHeader{NodeId: inode(0)}}
	if status := f.Open(nil, in, &fuse.OpenOut{}); status == fuse.OK {
		t.Error("there is no bound")
	}
	f.Release(nil, &fuse.ReleaseIn{Fh: last})
	if status := f.Open(nil, in, &fuse.OpenOut{}); status != fuse.OK {
		t.Error(status)
	}
}
