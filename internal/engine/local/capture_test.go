package local

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/cgroup"
	"github.com/opendaytona/daytona/internal/engine/local/cgroup/cgrouptest"
)

func TestAForkIsTheDiskAtOneMomentUnderIdsOfItsOwn(t *testing.T) {
	f := open(t, nil)
	parent := f.create(nil)
	// The larger the disk and what is dirty, the more a bad copy would stand.
	f.has(parent.ID, "dd if=/dev/zero of=/home/user/big bs=1M count=200 2>&1; echo kept >/home/user/kept; echo more >>/data/sub/file; rm /etc/layer", "200")
	// Two files that never differ at one moment, but for the one in the making.
	f.has(parent.ID, `(i=0; while :; do i=$((i+1)); for x in a b; do echo $i >/home/user/.$x; mv /home/user/.$x /home/user/$x; done; done) >/dev/null 2>&1 & echo on`, "on")
	fork := f.create(func(s *engine.Spec) { s.From, s.Hostname = parent.ID, "fork" })
	f.has(fork.ID, "cat /home/user/kept", "kept")
	f.has(fork.ID, "cat /data/sub/file", "more")
	f.has(fork.ID, "hostname; cat /etc/hostname /etc/hosts", `fork\nfork\n127.0.0.1`)
	f.has(fork.ID, "cat /etc/hosts", `127.0.1.1\tfork`)
	f.has(fork.ID, "ls -n /home/user/kept", "1000     1000")
	f.has(fork.ID, `a=$(cat /home/user/a) b=$(cat /home/user/b); [ $((a-b)) -le 1 ] && [ -n "$b" ] && echo near`, "near")
	f.has(fork.ID, "echo other >/home/user/kept && rm /home/user/big && echo wrote", "wrote")
	f.has(parent.ID, "cat /home/user/kept", "kept")
	f.has(parent.ID, "a=$(cat /home/user/a); sleep 0.2; [ $(cat /home/user/a) -gt $a ] && echo goes on", "goes on")
	if err := f.Delete(t.Context(), parent.ID); err != nil {
		t.Fatal(err)
	}
	f.has(fork.ID, "cat /home/user/kept", "other")
	missing := spec()
	missing.From = parent.ID
	if err := f.Create(t.Context(), missing); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a fork of nothing: %v", err)
	}
}

// frozenLongest watches the clock inside the sandbox while f runs.
func frozenLongest(f *fixture, id string, during func()) time.Duration {
	f.t.Helper()
	file := cgrouptest.FreezerFile(f.t, filepath.Join(f.name(), id))
	done, longest := make(chan struct{}), make(chan time.Duration)
	go func() {
		var most time.Duration
		var since time.Time
		for {
			if on := cgrouptest.Freezing(file); on && since.IsZero() {
				since = time.Now()
			} else if !on && !since.IsZero() {
				most, since = max(most, time.Since(since)), time.Time{}
			}
			select {
			case <-done:
				longest <- most
				return
			default:
				time.Sleep(100 * time.Microsecond)
			}
		}
	}()
	during()
	close(done)
	return <-longest
}

func TestAForkStopsItsParentForMillisecondsHoweverLargeTheDisk(t *testing.T) {
	f := open(t, nil)
	for _, mib := range []string{"1", "400"} {
		parent := f.create(nil)
		f.has(parent.ID, "dd if=/dev/urandom of=/home/user/big bs=1M count="+mib+" 2>&1", "records out")
		fork := spec()
		fork.From = parent.ID
		stood := frozenLongest(f, parent.ID, func() {
			if err := f.Create(t.Context(), fork); err != nil {
				t.Fatal(err)
			}
		})
		t.Logf("a disk of %s MiB: frozen for %v", mib, stood)
		if stood == 0 || stood > 50*time.Millisecond {
			t.Errorf("a disk of %s MiB: frozen for %v, want something up to 50 ms", mib, stood)
		}
		for _, id := range []string{parent.ID, fork.ID} {
			if err := f.Delete(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestMain lets a test run this program as a server that dies while a sandbox
// is frozen, or as a check of the machine.
func TestMain(m *testing.M) {
	if id := os.Getenv("FREEZE_AND_DIE"); id != "" {
		freezeAndDie(os.Getenv("FREEZE_TREE"), id)
	}
	if dir := os.Getenv(asTrial); dir != "" {
		tryUntilSignalled(dir)
		return
	}
	os.Exit(m.Run())
}

func TestAFrozenSandboxGoesOnWhenTheServerIsKilled(t *testing.T) {
	f := open(t, nil)
	s := f.create(nil)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), "FREEZE_AND_DIE="+s.ID, "FREEZE_TREE="+f.name())
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "frozen") {
		t.Fatalf("the server that froze it: %v: %s", err, out)
	}
	f.has(s.ID, "echo alive", "alive") // waits until it is thawed

	// And a next server thaws what even the guard did not.
	fz, err := f.cgroups.Freezer(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := fz.Freeze(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	if err := f.Local.Close(); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	f.has(s.ID, "echo alive", "alive")
	if err := fz.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestACaptureTellsWhatASandboxChanged(t *testing.T) {
	f := open(t, nil)
	s := f.create(func(s *engine.Spec) { s.User = "root" })
	f.has(s.ID, "echo new >/home/user/new; chown 1000:1000 /home/user/new; rm /etc/layer; rm -r /tmp; mkdir /tmp; echo x >/tmp/x; echo more >>/data/sub/file; echo d >/var/lib/docker/d; ln /home/user/new /home/user/link; echo ok", "ok")
	if err := f.Capture(t.Context(), s.ID, "one"); err != nil {
		t.Fatal(err)
	}
	f.has(s.ID, "echo later >/home/user/later; echo ok", "ok")
	if all, err := f.List(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("a capture is no sandbox: %v, %v", all, err)
	}
	if err := f.Delete(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	if err := f.Changes(t.Context(), "one", digest, &layer); err != nil {
		t.Fatal(err)
	}
	found := map[string]*tar.Header{}
	for r := tar.NewReader(&layer); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		found[strings.TrimSuffix(h.Name, "/")] = h
	}
	for _, want := range []string{"home/user/new", "home/user/link", "etc/.wh.layer", "tmp/x", "data/sub/file"} {
		if found[want] == nil {
			t.Errorf("%s is missing", want)
		}
	}
	for name := range found {
		for _, not := range []string{"later", "docker", ".daytona", "resolv.conf", "bin/", "passwd"} {
			if strings.Contains(name, not) {
				t.Errorf("%s should not be there", name)
			}
		}
	}
	if h := found["home/user/new"]; h != nil && (h.Uid != 1000 || h.Gid != 1000) {
		t.Errorf("it belongs to %d:%d", h.Uid, h.Gid)
	}
	names, err := f.Captures(t.Context())
	if err != nil || len(names) != 1 || names[0] != "one" {
		t.Errorf("captures: %v, %v", names, err)
	}
	for range 2 {
		if err := f.Discard(t.Context(), "one"); err != nil {
			t.Fatal(err)
		}
	}
}

func freezeAndDie(tree, id string) {
	f, err := cgroup.At(tree).Freezer(id)
	if err == nil {
		err = f.Freeze(context.Background(), time.Second)
	}
	if err != nil {
		panic(err)
	}
	println("frozen")
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	select {}
}
