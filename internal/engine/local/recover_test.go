package local

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/cgroup/cgrouptest"
)

// fifreeze and fithaw are FIFREEZE and FITHAW of linux/fs.h.
const (
	fifreeze = 0xc0045877
	fithaw   = 0xc0045878
)

// unkillable starts a process that no signal ends: it writes to a filesystem that
// is frozen. The returned function thaws that.
func unkillable(t *testing.T) (pid int, thaw func()) {
	t.Helper()
	dir := t.TempDir()
	image, at := filepath.Join(dir, "fs"), filepath.Join(dir, "mnt")
	for _, c := range [][]string{
		{"truncate", "-s", "16M", image}, {"mkfs.ext4", "-q", image}, {"mkdir", at}, {"mount", "-o", "loop", image, at},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v, %s", c, err, out)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, 0); err != nil {
			t.Error(err)
		}
	})
	root, err := os.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetInt(int(root.Fd()), fifreeze, 0); err != nil {
		t.Fatal(err)
	}
	writer := exec.Command("touch", filepath.Join(at, "file"))
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	frozen := true
	thaw = func() {
		if !frozen {
			return
		}
		frozen = false
		if err := errors.Join(unix.IoctlSetInt(int(root.Fd()), fithaw, 0), root.Close()); err != nil {
			t.Error(err)
		}
		_ = writer.Wait() // killed or not
	}
	t.Cleanup(thaw)
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(writer.Process.Pid) + "/stat")
		if err == nil && strings.Contains(string(stat), ") D ") {
			return writer.Process.Pid, thaw
		}
		if time.Now().After(end) {
			t.Fatalf("the writer does not wait: %s, %v", stat, err)
		}
	}
}

func TestASandboxThatCannotBeKilledKeepsNoEngineFromOpening(t *testing.T) {
	f := open(t, nil)
	stuck, other := f.create(nil), f.create(nil)
	pid, thaw := unkillable(t)
	joined := 0
	for _, dir := range cgrouptest.Glob(t, f.cgroups.OCIPath(stuck.ID)) {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			t.Fatal(err)
		}
		joined++
	}
	if joined == 0 {
		t.Fatal("the sandbox has no control group")
	}
	first := f.pid(stuck.ID)
	if err := f.Local.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	f.reopen()
	if took := time.Since(began); took > 4*recoverPatience {
		t.Errorf("opening took %s", took)
	}
	f.has(other.ID, "echo fine", "fine")
	third := f.create(nil)
	f.has(third.ID, "echo fine", "fine")
	// With what could not be ended, it goes as soon as that does.
	thaw()
	if err := f.Start(t.Context(), stuck); err != nil {
		t.Fatal(err)
	}
	f.has(stuck.ID, "echo again", "again")
}

func TestEndsThatNobodyReadsHoldUpNoSandbox(t *testing.T) {
	f := open(t, nil)
	s := f.create(nil)
	events := f.Watch(t.Context())
	for i := range 1000 {
		f.events.Changed(strconv.Itoa(i))
	}
	if err := unix.Kill(f.pid(s.ID), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if f.exit(s.ID, 10*time.Second) == nil {
		t.Fatal("its end is not seen")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := f.SetNetwork(ctx, s.ID, engine.Network{BlockAll: true}); err != nil {
		t.Error(err)
	}
	for range 1001 {
		<-events
	}
	if e := <-events; e.ID != s.ID {
		t.Errorf("told of %+v", e)
	}
}
