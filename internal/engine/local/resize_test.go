package local

import (
	"errors"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/cgroup/cgrouptest"
)

// seen reads the sandbox's limits from inside.
const seen = cgrouptest.ShowLimits

func TestARunningSandboxIsResized(t *testing.T) {
	f := open(t, nil)
	s := f.create(func(s *engine.Spec) { s.User, s.Resources.Disk = "root", 64<<20 })
	resize := func(edit func(*engine.Resources)) error {
		t.Helper()
		r := s.Resources
		edit(&r)
		err := f.Resize(t.Context(), s.ID, r)
		if err == nil {
			s.Resources = r
		}
		return err
	}
	f.has(s.ID, seen, "268435456 100000")
	if err := resize(func(r *engine.Resources) { r.CPU, r.Memory, r.Disk = 2, 512<<20, 256<<20 }); err != nil {
		t.Fatal(err)
	}
	f.has(s.ID, seen, "536870912 200000")
	f.has(s.ID, "dd if=/dev/zero of=/tmp/fill bs=1M count=100 && sync && echo written", "written")
	// What is in use stays possible, and a refusal changes nothing.
	var small *engine.TooSmall
	err := resize(func(r *engine.Resources) { r.CPU, r.Disk = 1, 64<<20 })
	if !errors.As(err, &small) || small.Resource != "disk" || small.Used < 100<<20 {
		t.Fatalf("the disk became smaller than what is on it: %v", err)
	}
	f.has(s.ID, "dd if=/dev/zero of=/dev/shm/fill bs=1M count=100 && echo held", "held")
	err = resize(func(r *engine.Resources) { r.CPU, r.Memory = 1, 128<<20 })
	if !errors.As(err, &small) || small.Resource != "memory" || small.Used < 100<<20 {
		t.Fatalf("memory became less than what is used: %v", err)
	}
	f.has(s.ID, seen, "536870912 200000")
	f.has(s.ID, "rm /dev/shm/fill /tmp/fill; sync; echo freed", "freed")
	if err := resize(func(r *engine.Resources) { r.CPU, r.Memory, r.Disk = 1, 128<<20, 64<<20 }); err != nil {
		t.Fatal(err)
	}
	f.has(s.ID, seen, "134217728 100000")
	f.has(s.ID, "dd if=/dev/zero of=/tmp/fill bs=1M count=100 2>&1; rm -f /tmp/fill", "quota")

	// The next server says it again, and a start takes what is said then.
	if err := f.Local.Close(); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	if err := resize(func(*engine.Resources) {}); err != nil {
		t.Fatal(err)
	}
	if err := f.Stop(t.Context(), s.ID, 0); err != nil {
		t.Fatal(err)
	}
	if err := resize(func(r *engine.Resources) { r.CPU, r.Memory = 2, 256<<20 }); err != nil {
		t.Fatal(err)
	}
	if err := f.Start(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	f.has(s.ID, seen, "268435456 200000")
	if err := f.Delete(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	if err := resize(func(*engine.Resources) {}); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("resize of a deleted sandbox: %v", err)
	}
}

func TestASandboxIsResizedBelowWhatAContainerInItHas(t *testing.T) {
	f := open(t, nil)
	s := f.create(func(s *engine.Spec) { s.User, s.Resources.CPU = "root", 2 })
	f.has(s.ID, cgrouptest.MakeInner+" 2>/dev/null", "200000")
	r := s.Resources
	r.CPU = 1
	if err := f.Resize(t.Context(), s.ID, r); err != nil {
		t.Fatal(err)
	}
	f.has(s.ID, seen, "100000")
	r.CPU = 2
	if err := f.Resize(t.Context(), s.ID, r); err != nil {
		t.Fatal(err)
	}
	f.has(s.ID, seen, "200000")
}

func TestProcessesAreToldTheSandboxesCores(t *testing.T) {
	f := open(t, nil)
	s := f.create(nil)
	f.has(s.ID, "echo $OMP_NUM_THREADS $PYTHON_CPU_COUNT", "1 1")
	s.Resources.CPU = 2
	if err := f.Resize(t.Context(), s.ID, s.Resources); err != nil {
		t.Fatal(err)
	}
	if out, err := f.do(s.ID, "echo $OMP_NUM_THREADS of $(grep -c ^processor /proc/cpuinfo)"); err != nil || !strings.Contains(out, "2 of") && !strings.Contains(out, "1 of 1") {
		t.Errorf("%s %v", out, err)
	}
	own := f.create(func(s *engine.Spec) { s.Env = map[string]string{"OMP_NUM_THREADS": "7"} })
	f.has(own.ID, "echo $OMP_NUM_THREADS", "7")
}
