package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// aloneV2 marks the process of this test that sees v2 alone, whatever the machine
// has: it has mounts of its own.
const aloneV2 = "DAYTONA_TEST_CGROUP_V2"

func TestAGroupIsFrozenKilledAndRemoved(t *testing.T) {
	t.Run("as the machine has them", groupLives)
	t.Run("v2 alone", func(t *testing.T) {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestInV2Alone$", "-test.v")
		cmd.Env = append(os.Environ(), aloneV2+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
}

func TestInV2Alone(t *testing.T) {
	if os.Getenv(aloneV2) == "" {
		return // run by the test above
	}
	err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("cgroup2", root, "cgroup2", 0, ""))
	if err != nil {
		t.Fatal(err)
	}
	if v := Version(); v != "v2" {
		t.Fatalf("it is %s", v)
	}
	groupLives(t)
}

func groupLives(t *testing.T) {
	const owner = 4242
	tree := At("daytona-test-" + strconv.Itoa(os.Getpid()))
	for _, m := range tree.mounts() {
		if err := os.MkdirAll(filepath.Join(m, tree.Parent()), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := tree.Destroy(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := tree.Create("x", owner); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tree.Remove(context.Background(), "x") })
	dir := ""
	for _, m := range tree.mounts() {
		dir = filepath.Join(m, tree.Parent(), "x")
		if filepath.Base(m) == "freezer" {
			break
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "cgroup.procs"), &st); err != nil || st.Uid != owner {
		t.Fatalf("the group belongs to %d, %v", st.Uid, err)
	}
	if got := tree.List(); len(got) != 1 || got[0] != "x" {
		t.Fatalf("the groups are %v", got)
	}

	inner := filepath.Join(dir, "one", "below")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	for _, d := range []string{dir, inner} {
		sleeper := exec.Command("sleep", "1000")
		if err := sleeper.Start(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "cgroup.procs"), []byte(strconv.Itoa(sleeper.Process.Pid)), 0); err != nil {
			t.Fatal(err)
		}
		go func() { ended <- sleeper.Wait() }()
	}
	if got := tree.Processes("x"); len(got) != 2 {
		t.Fatalf("the processes are %v", got)
	}

	f, err := tree.Freezer("x")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Freeze(ctx, time.Second); err != nil || !tree.frozen("x") {
		t.Fatalf("frozen: %v, %v", tree.frozen("x"), err)
	}
	if err := f.Thaw(); err != nil {
		t.Fatal(err)
	}

	// What the sandbox has frozen itself dies too.
	file, freeze, _ := tree.freezer(filepath.Join("x", "one", "below"))
	if err := os.WriteFile(file, []byte(freeze), 0); err != nil {
		t.Fatal(err)
	}
	for len(ended) < 2 { // with v1, what is killed while it is frozen dies at the next time
		if err := tree.Kill("x"); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ctx.Done():
			t.Fatal("a killed process stays")
		case <-time.After(time.Millisecond):
		}
	}
	if err := tree.Remove(ctx, "x"); err != nil {
		t.Fatal(err)
	}
	if got := tree.List(); len(got) != 0 {
		t.Fatalf("what is left: %v", got)
	}
	// Of what has gone, nothing is known and nothing fails.
	if err := errors.Join(tree.Kill("x"), tree.Remove(ctx, "x"), tree.Thaw("x")); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(tree.OOMKills("x"), tree.ForksRefused("x"), tree.MemoryLimit("x"), tree.CPULimit("x"), tree.PIDsLimit("x"), tree.Memory("x")); got != "0 0 0 0 0 0" {
		t.Errorf("a group that has gone has %s", got)
	}
	if _, err := tree.Freezer("x"); !errors.Is(err, ErrNoFreezer) {
		t.Errorf("it can be frozen: %v", err)
	}
	if _, err := tree.WatchOOM("x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it can be watched: %v", err)
	}
}
