package server

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/config"
	"github.com/opendaytona/daytona/internal/engine/local"
	"github.com/opendaytona/daytona/internal/machine"
	"github.com/opendaytona/daytona/internal/servercmd"
)

func TestPurgeTakesOnlyADataDirectoryThatNoServerRunsOn(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	e := newMemoryEngine(t, http.HandlerFunc(echo))
	c := testConfig(t)
	if err := servercmd.Purge(t.Context(), c, "test", true, log); err != nil {
		t.Errorf("of one that is not there: %v", err)
	}
	s := start(t, c, testHost(e))
	if err := servercmd.Purge(t.Context(), c, "test", true, log); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("of one that a server runs on: %v", err)
	}
	s.call("GET", "/api/users/me", "", 200)

	c.DataDir = t.TempDir()
	photo := filepath.Join(c.DataDir, "photo.jpg")
	if err := os.WriteFile(photo, []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := servercmd.Purge(t.Context(), c, "test", true, log); err == nil || !strings.Contains(err.Error(), "is not a server's data directory") {
		t.Errorf("of somebody's home: %v", err)
	}
	if _, err := os.Stat(photo); err != nil {
		t.Error(err)
	}
}

// The real engine: what it leaves for a running server is gone after purge.
func TestPurgeFreesTheMachineAndDeletesTheData(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root")
	}
	if err := machine.Fit(local.Check(t.Context(), local.Options{DataDir: t.TempDir()})); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	c := testConfig(t, "--disk-size", "1GiB", "--network-slots", "1")
	m := thisHost()
	m.images.Base = testHost(nil).images.Base
	s, err := openServer(t.Context(), c, m, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if err := servercmd.Purge(t.Context(), c, "test", false, log); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.Below(config.DatabaseName)); err != nil {
		t.Errorf("without --data it deleted the data: %v", err)
	}
	if err := servercmd.Purge(t.Context(), c, "test", true, log); err != nil {
		t.Fatal(err)
	}
	if gone, err := config.Missing(c.DataDir); !gone {
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
