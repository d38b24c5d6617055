package isolation

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/engine/local/cgroup/cgrouptest"
	daytona "github.com/opendaytona/daytona/sdk"
	"github.com/opendaytona/daytona/test/serve"
)

// patience is how long a request may take whatever a sandbox does.
const patience = 45 * time.Second

// later runs a command that may never be answered.
func later(t *testing.T, b *daytona.Sandbox, command string) {
	t.Helper()
	if err := b.Process.CreateSession(t.Context(), "hostile"); err != nil {
		t.Fatal(err)
	}
	ctx := serve.Within(t, 5*time.Second)
	_, _ = b.Process.ExecuteSessionCommand(ctx, "hostile", daytona.SessionExecuteRequest{Command: command, RunAsync: true})
}

func TestASandboxThatStopsItsAgentHarmsOnlyItself(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	s.Snapshot("plain", "alpine:3.21")
	other := box(s, "plain")
	for name, c := range map[string]struct {
		command string
		silent  bool // the agent answers no more
	}{
		"signals": {command: "for s in STOP TSTP KILL SEGV INT; do kill -$s 1; done; kill -STOP -1"},
		"traced":  {command: "/hostile hold", silent: true},
		// Reads of what the agent serves then wait, too.
		"readers": {command: "for f in meminfo stat cpuinfo; do (sleep 1; cat /proc/$f) & done; /hostile hold", silent: true},
		// It waits for itself, which no kill ends.
		"entangled": {command: "/hostile entangle"},
		"frozen":    {silent: true, command: cgrouptest.FreezeAll + "; while :; do sleep 1; done"},
		"memory":    {command: "tail /dev/zero"},
		"processes": {command: "bomb() { bomb | bomb & }; bomb"},
		"flood":     {command: "yes | head -c 300000000"},
	} {
		bad := box(s, "plain")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			later(t, bad, c.command)
			time.Sleep(serve.Slow(time.Second))
			began := time.Now()
			_, err := bad.Process.ExecuteCommand(serve.Within(t, 3*time.Second), "echo", daytona.ExecuteOptions{})
			if c.silent && err == nil {
				t.Error("the agent answers, so it was not stopped")
			}
			if took := time.Since(began); took > serve.Slow(10*time.Second) {
				t.Errorf("a request that was given up took %v", took)
			}
			run(t, other, "echo unharmed")
			if err := bad.RefreshData(serve.Within(t, 5*time.Second)); err != nil {
				t.Errorf("look at it: %v", err)
			}
			began = time.Now()
			if err := bad.Stop(serve.Within(t, patience)); err != nil {
				t.Fatalf("stop it: %v after %v", err, time.Since(began))
			}
			if err := bad.Start(serve.Within(t, patience)); err != nil {
				t.Fatalf("start it again: %v", err)
			}
			run(t, bad, "echo again")
			later(t, bad, c.command)
			time.Sleep(serve.Slow(500 * time.Millisecond))
			began = time.Now()
			if err := bad.Delete(serve.Within(t, patience)); err != nil {
				t.Fatalf("delete it: %v after %v", err, time.Since(began))
			}
			run(t, other, "echo unharmed")
		})
	}
}

// The server writes /etc/resolv.conf and others when a sandbox starts.
func TestTheServerFollowsNoLinkOutOfASandbox(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	s.Snapshot("plain", "alpine:3.21")
	dir := t.TempDir()
	path, _ := canary(t, dir)
	for _, link := range []string{dir, "/proc/1/root" + dir, "../../../../../../../.." + dir} {
		b := box(s, "plain")
		run(t, b, "rm -rf /etc/*; rmdir /etc 2>/dev/null; mv /etc /was 2>/dev/null; ln -s "+link+" /etc; mkdir -p /tmp && rm -rf /bin/sh.old; test -L /etc")
		if err := b.Stop(serve.Within(t, patience)); err != nil {
			t.Fatal(err)
		}
		if err := b.Start(serve.Within(t, patience)); err != nil {
			t.Logf("%s: it does not start: %v", link, err)
		}
		if err := b.Delete(serve.Within(t, patience)); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if text, readErr := os.ReadFile(path); err != nil || len(entries) != 1 || readErr != nil || string(text) != secret {
			t.Errorf("%s: the host's directory holds %v, %v; its file %q", link, entries, err, text)
		}
	}
}

// Routes for files follow links, and swapped ones, inside only.
func TestFileRoutesSeeWhatTheSandboxSees(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	s.Snapshot("plain", "alpine:3.21")
	b := box(s, "plain")
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path, _ := canary(t, dir)
	run(t, b, "mkdir -p /own"+dir+" && echo own >/own"+dir+"/canary && mkdir -p "+filepath.Dir(dir)+" && ln -s /own"+dir+" "+dir)
	later(t, b, "while :; do ln -sfn /proc/1/root /swap; ln -sfn / /swap; ln -sfn /../../../.. /swap; done")
	for range 40 {
		for _, way := range []string{"", "/swap", "/proc/1/root", "/swap/../../../.."} {
			if text, err := b.FileSystem.DownloadFile(t.Context(), way+path); err == nil && string(text) != "own\n" {
				t.Fatalf("%s%s is %q", way, path, text)
			}
			_ = b.FileSystem.UploadFile(t.Context(), []byte("own\n"), way+path)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != secret {
		t.Errorf("the host's file is %q, %v", text, err)
	}
	if text, err := b.FileSystem.DownloadFile(t.Context(), path); err != nil || string(text) != "own\n" {
		t.Errorf("the sandbox's file is %q, %v", text, err)
	}
}

// Clients follow redirects with the user's key.
func TestASandboxCannotActAsItsUser(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	s.Snapshot("plain", "alpine:3.21")
	bank, bad := box(s, "plain"), box(s, "plain")
	later(t, bad, "/hostile usurp /api/sandbox/"+bank.ID+"/public/true")
	s.Eventually("the sandbox answers in its agent's place", func() error {
		_, err := bad.Process.ExecuteCommand(serve.Within(t, 5*time.Second), "echo", daytona.ExecuteOptions{})
		var answer *daytona.Error
		if !errors.As(err, &answer) || answer.StatusCode != http.StatusBadGateway {
			return fmt.Errorf("a command there: %w", err)
		}
		return nil
	})
	if err := bank.RefreshData(t.Context()); err != nil || bank.Public {
		t.Errorf("the other sandbox is public: %t, %v", bank.Public, err)
	}
	run(t, bank, "echo unharmed")
}
