package server

import (
	"bytes"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/config"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine/local"
)

func TestPurgeTakesOnlyADataDirectoryThatNoServerRunsOn(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	e := newMemoryEngine(t, http.HandlerFunc(echo))
	c := testConfig(t)
	if err := purge(t.Context(), c, "test", true, log); err != nil {
		t.Errorf("of one that is not there: %v", err)
	}
	s := start(t, c, testMachine(e))
	if err := purge(t.Context(), c, "test", true, log); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("of one that a server runs on: %v", err)
	}
	s.call("GET", "/api/users/me", "", 200)

	c.DataDir = t.TempDir()
	photo := filepath.Join(c.DataDir, "photo.jpg")
	if err := os.WriteFile(photo, []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := purge(t.Context(), c, "test", true, log); err == nil || !strings.Contains(err.Error(), "no data directory") {
		t.Errorf("of somebody's home: %v", err)
	}
	if _, err := os.Stat(photo); err != nil {
		t.Error(err)
	}
}

func TestADataDirectoryThatIsAMountPointIsEmptied(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	if err := os.MkdirAll(filepath.Join(dir, "images", "layers"), 0o700); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	if err := deleteData(dir, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	if !strings.Contains(log.String(), "is a mount point") {
		t.Errorf("it says %q", &log)
	}
}

// The real engine: what it leaves for a running server is gone after purge.
func TestPurgeFreesTheMachineAndDeletesTheData(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root")
	}
	if err := fit(local.Check(t.Context(), local.Options{DataDir: t.TempDir()})); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	c := testConfig(t, "--disk-size", "1GiB", "--network-slots", "1")
	m := thisMachine()
	m.base = testMachine(nil).base
	s, err := newServer(t.Context(), c, "test", m, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if err := purge(t.Context(), c, "test", false, log); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.Below(config.DatabaseName)); err != nil {
		t.Errorf("without --data it deleted the data: %v", err)
	}
	if err := purge(t.Context(), c, "test", true, log); err != nil {
		t.Fatal(err)
	}
	if gone, err := missing(c.DataDir); !gone {
		t.Errorf("the data is still there: %v", err)
	}
	for _, table := range []string{"/proc/self/mountinfo", "/sys/block/loop*/loop/backing_file"} {
		files, err := filepath.Glob(table)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), c.DataDir) {
				t.Errorf("%s still has it:\n%s", f, text)
			}
		}
	}
}
