package cgroup

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel wakes pollers of memory.events as it does those of cgroup.events,
// which is also there where the memory controller is not.
func TestAChangeOfAGroupsFileWakes(t *testing.T) {
	mount := unifiedMount()
	dir := filepath.Join(mount, "daytona-test-"+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	sleeper := exec.Command("sleep", "60")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = sleeper.Process.Kill()
		_ = sleeper.Wait()
		if err := unix.Rmdir(dir); err != nil {
			t.Error(err)
		}
	})
	fd, err := unix.Open(filepath.Join(dir, "cgroup.events"), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "events")
	type outcome struct {
		now int64
		err error
	}
	woken := make(chan outcome, 1)
	wait := func() {
		now, err := awaitField(f, "populated", 0)
		woken <- outcome{now, err}
	}
	go wait()
	select {
	case o := <-woken:
		t.Fatalf("it did not wait: %+v", o)
	case <-time.After(50 * time.Millisecond):
	}
	move := func(to string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(to, "cgroup.procs"), []byte(strconv.Itoa(sleeper.Process.Pid)), 0); err != nil {
			t.Fatal(err)
		}
	}
	next := func() (o outcome) {
		t.Helper()
		select {
		case o = <-woken:
		case <-time.After(10 * time.Second):
			t.Fatal("it does not wake")
		}
		return o
	}
	move(dir)
	if o := next(); o.err != nil || o.now != 1 {
		t.Fatalf("%+v", o)
	}
	move(mount)
	for end := time.Now().Add(10 * time.Second); populated(dir); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the group stays populated")
		}
	}
	go wait()
	time.Sleep(20 * time.Millisecond)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if o := next(); o.err == nil {
		t.Fatalf("a closed watch returned %+v", o)
	}
}

func populated(dir string) bool {
	n, err := field(filepath.Join(dir, "cgroup.events"), "populated")
	return err != nil || n != 0
}
