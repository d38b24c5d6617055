package local

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/cgroup/cgrouptest"
	"github.com/opendaytona/daytona/test/loopfs"
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
	at := loopfs.Mount(t, 16<<20)
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

// join moves a process into a sandbox's control groups.
func (f *fixture) join(id string, pid int) {
	f.t.Helper()
	joined := 0
	for _, dir := range cgrouptest.Glob(f.t, f.cgroups.OCIPath(id)) {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			f.t.Fatal(err)
		}
		joined++
	}
	if joined == 0 {
		f.t.Fatal("the sandbox has no control group")
	}
}

// phase waits until the sandbox is in the phase, and returns its status.
func (f *fixture) phase(id string, want engine.Phase, within time.Duration) engine.Status {
	f.t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		st, err := f.Inspect(f.t.Context(), id)
		if err != nil {
			f.t.Fatal(err)
		}
		if st.Phase == want {
			return st
		}
		if time.Now().After(end) {
			f.t.Fatalf("%s is %s (%s), not %s", id, st.Phase, st.Problem, want)
		}
	}
}

// quickRecovery makes recoveries give up soon, and try again soon.
func quickRecovery(t *testing.T) {
	timeout, pause := recoverTimeout, recoverPause
	recoverTimeout, recoverPause = 3*time.Second, time.Second
	t.Cleanup(func() { recoverTimeout, recoverPause = timeout, pause })
}

func TestEachSandboxIsRecoveredByItself(t *testing.T) {
	quickRecovery(t)
	f := open(t, func(o *Options) { o.DiskSize = 4 << 30 })
	small := func(s *engine.Spec) { s.Resources.Disk = 64 << 20 }
	var fine []string
	for range 20 {
		fine = append(fine, f.create(small).ID)
	}
	stuck, corrupt, refused, twice, invalid := f.create(small), f.create(small), f.create(small), f.create(small), f.create(small)
	f.has(refused.ID, "echo $$ >/tmp/mark; cat /tmp/mark", "")
	pid, thaw := unkillable(t)
	f.join(stuck.ID, pid)
	first := f.pid(stuck.ID)
	if err := f.Local.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.stateFile(corrupt.ID), []byte(`{"Boot":"`), 0o600); err != nil {
		t.Fatal(err)
	}
	change := func(id string, change func(*runState)) {
		t.Helper()
		r, err := f.readState(id)
		if err != nil {
			t.Fatal(err)
		}
		change(&r)
		if err := f.writeState(id, r); err != nil {
			t.Fatal(err)
		}
	}
	change(refused.ID, func(r *runState) {
		for i := range 1 << 13 { // more than the kernel takes in one transaction
			r.Policy.Allow = append(r.Policy.Allow, netip.PrefixFrom(netip.AddrFrom4([4]byte{1, 2, byte(i >> 8), byte(i)}), 32))
		}
	})
	change(twice.ID, func(r *runState) {
		other, err := f.readState(fine[0])
		if err != nil {
			t.Fatal(err)
		}
		r.Slot = other.Slot
	})
	change(invalid.ID, func(r *runState) { r.Slot = -3 })

	began := time.Now()
	f.reopen()
	t.Logf("opened after %s", time.Since(began))
	if took := time.Since(began); took > 4*recoverTimeout {
		t.Errorf("opening took %s", took)
	}
	events := f.Watch(t.Context())
	if e := <-events; !e.Resync {
		t.Errorf("got %+v", e)
	}
	for id, says := range map[string]string{stuck.ID: "", refused.ID: "network policy"} {
		if st := f.phase(id, engine.PhaseFailed, 0); !strings.Contains(st.Problem, says) || st.Problem == "" {
			t.Errorf("the problem is %q", st.Problem)
		}
	}
	all, err := f.List(t.Context())
	if err != nil || len(all) != 25 {
		t.Fatalf("%d are listed: %v", len(all), err)
	}
	running := 0
	for _, st := range all {
		if st.Phase == engine.PhaseRunning {
			running++
		}
	}
	if running != 20 {
		t.Errorf("%d run", running)
	}
	f.has(fine[7], "echo fine", "fine")
	f.has(f.create(small).ID, "echo another", "another")
	for _, s := range []engine.Spec{corrupt, invalid, twice} {
		f.phase(s.ID, engine.PhaseStopped, 0)
		if err := f.Start(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		f.has(s.ID, "echo again", "again")
	}

	// Each is well as soon as it can be.
	thaw()
	change(refused.ID, func(r *runState) { r.Policy.Allow = r.Policy.Allow[:1] })
	f.phase(refused.ID, engine.PhaseRunning, 20*time.Second)
	f.has(refused.ID, "test -s /tmp/mark && echo kept", "kept")
	if st := f.phase(stuck.ID, engine.PhaseStopped, 20*time.Second); !st.Booted || st.Exit == nil || st.Problem != "" {
		t.Errorf("%+v", st)
	}
	seen := map[string]bool{}
	for end := time.After(5 * time.Second); !seen[refused.ID] || !seen[stuck.ID]; {
		select {
		case e := <-events:
			seen[e.ID] = true
		case <-end:
			t.Fatalf("told of %v", seen)
		}
	}
	if err := f.Start(t.Context(), stuck); err != nil {
		t.Fatal(err)
	}
	f.has(stuck.ID, "echo again", "again")
}

func TestASandboxThatIsNotRecoveredIsStartedStoppedAndDeletedAsSoonAsItCanBe(t *testing.T) {
	quickRecovery(t)
	f := open(t, nil)
	stuck, deleted := f.create(nil), f.create(nil)
	pid, thaw := unkillable(t)
	f.join(stuck.ID, pid)
	other, thawOther := unkillable(t)
	f.join(deleted.ID, other)
	firsts := []int{f.pid(stuck.ID), f.pid(deleted.ID)}
	if err := f.Local.Close(); err != nil {
		t.Fatal(err)
	}
	for _, first := range firsts {
		if err := unix.Kill(first, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	recoverPause = time.Hour // nobody but the test tries again
	f.reopen()
	for _, id := range []string{stuck.ID, deleted.ID} {
		f.phase(id, engine.PhaseFailed, 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.Stop(ctx, id, 0); err == nil {
			t.Error("what cannot be ended was stopped")
		}
	}
	thaw()
	thawOther()
	if err := f.Delete(t.Context(), deleted.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Inspect(t.Context(), deleted.ID); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := f.Start(t.Context(), stuck); err != nil {
		t.Fatal(err)
	}
	f.phase(stuck.ID, engine.PhaseRunning, 0)
	f.has(stuck.ID, "echo again", "again")
	if left := f.unrecovered(); len(left) != 0 {
		t.Errorf("%v are not recovered", left)
	}
}

func TestARecoveryThatTheKernelHoldsUpGoesOnBesideTheOthers(t *testing.T) {
	quickRecovery(t)
	f := open(t, nil)
	held, other := f.create(nil), f.create(nil)
	if err := f.Stop(t.Context(), held.ID, 0); err != nil {
		t.Fatal(err)
	}
	// Who opens a pipe waits for its other end, whatever becomes of his context.
	file := f.stateFile(held.ID)
	if err := errors.Join(os.Remove(file), unix.Mkfifo(file, 0o600)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	f.recoverEach(t.Context(), []string{held.ID, other.ID})
	if took := time.Since(began); took > 2*recoverTimeout {
		t.Errorf("it took %s", took)
	}
	if left := f.unrecovered(); !slices.Equal(left, []string{held.ID}) {
		t.Fatalf("%v are not recovered, want %s", left, held.ID)
	}
	f.has(other.ID, "echo fine", "fine")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := f.Start(ctx, held); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a start meanwhile: %v", err)
	}
	pipe, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	pipe.Close()
	for end := time.Now().Add(10 * time.Second); len(f.unrecovered()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is never recovered")
		}
	}
	if err := f.Start(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	f.has(held.ID, "echo again", "again")
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
