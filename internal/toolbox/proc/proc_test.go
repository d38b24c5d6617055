package proc

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// table is one for all tests: collecting is per process.
var table = New(false)

func shell(t *testing.T, script string) *Process {
	t.Helper()
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	p, err := table.Start(Spec{
		Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"},
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd()}, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ended(t *testing.T, p *Process) int {
	t.Helper()
	select {
	case <-p.Done():
		return p.ExitCode()
	case <-time.After(30 * time.Second):
		t.Error("the process does not end")
		return -1
	}
}

func TestExitCodes(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -9 $$": 137, "kill -TERM $$": 143} {
		if got := ended(t, shell(t, script)); got != want {
			t.Errorf("%q: %d, want %d", script, got, want)
		}
	}
}

func TestNoExitIsLostWhenManyEndAtOnce(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 100 {
		p := shell(t, "exit "+strconv.Itoa(i))
		wg.Go(func() {
			if got := ended(t, p); got != i {
				t.Errorf("%d, want %d", got, i)
			}
		})
	}
	wg.Wait()
}

func TestStartTellsThatAProgramIsMissing(t *testing.T) {
	_, err := table.Start(Spec{Path: "/no/such", Args: []string{"x"}, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())})
	if !errors.Is(err, syscall.ENOENT) {
		t.Errorf("error %v", err)
	}
}

func TestKillTreeEndsDescendantsInOtherSessions(t *testing.T) {
	file := t.TempDir() + "/pids"
	p := shell(t, `setsid sh -c 'echo $$ >>`+file+`; sleep 300' & sleep 300 & echo $! >>`+file+`; wait`)
	pids := waitForLines(t, file, 2)
	p.KillTree(0)
	if code := ended(t, p); code != 137 {
		t.Errorf("exit code %d", code)
	}
	for _, pid := range pids {
		if runs(pid) {
			t.Errorf("process %s still runs", pid)
		}
	}
}

func TestKillTreeLetsProcessesEndByThemselvesFirst(t *testing.T) {
	dir := t.TempDir()
	p := shell(t, `trap 'sleep 0.1; echo bye >`+dir+`/bye; exit 5' TERM; echo >`+dir+`/ready; while :; do sleep 0.01; done`)
	waitForLines(t, dir+"/ready", 1)
	p.KillTree(20 * time.Second)
	if code := ended(t, p); code != 5 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(dir + "/bye"); err != nil {
		t.Error(err)
	}
}

func TestKillTreeHangsUpOnWhatIgnoresTheRequest(t *testing.T) {
	dir := t.TempDir()
	p := shell(t, `trap '' TERM; echo >`+dir+`/ready; while :; do sleep 0.01; done`)
	waitForLines(t, dir+"/ready", 1)
	p.KillTree(2 * time.Second)
	if code := ended(t, p); code != 129 {
		t.Errorf("exit code %d", code)
	}
}

func TestKillTreeKindlyDoesNotHangUpOnWhatTakesItsTime(t *testing.T) {
	dir := t.TempDir()
	p := shell(t, `trap 'sleep 1; exit 5' TERM; echo >`+dir+`/ready; while :; do sleep 0.01; done`)
	waitForLines(t, dir+"/ready", 1)
	p.KillTreeKindly(3 * time.Second)
	if code := ended(t, p); code != 5 {
		t.Errorf("exit code %d", code)
	}
}

func TestKillTreeKillsWhatIgnoresEverything(t *testing.T) {
	dir := t.TempDir()
	p := shell(t, `trap '' TERM HUP; echo >`+dir+`/ready; while :; do sleep 0.01; done`)
	waitForLines(t, dir+"/ready", 1)
	p.KillTree(100 * time.Millisecond)
	if code := ended(t, p); code != 137 {
		t.Errorf("exit code %d", code)
	}
}

func waitForLines(t *testing.T, file string, n int) []string {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if b, err := os.ReadFile(file); err == nil && strings.Count(string(b), "\n") >= n {
			return strings.Fields(string(b))
		}
	}
	t.Fatalf("%s does not get %d lines", file, n)
	return nil
}

func runs(pid string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func TestNothingIsStartedWhileAllIsBeingEnded(t *testing.T) {
	table := New(false)
	table.KillAll(nil, 0)
	if _, err := table.Start(Spec{Path: "/bin/true", Args: []string{"true"}}); !errors.Is(err, ErrEnding) {
		t.Errorf("started: %v", err)
	}
}
