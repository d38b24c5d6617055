package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/test/serve"
)

// marked makes a sandbox whose disk holds a file.
func marked(s *serve.Server, mark string) string {
	s.T.Helper()
	id := s.Sandbox("box").ID
	s.Output(id, "echo "+mark+" >/root/mark && sync")
	return id
}

// holds starts a sandbox that is stopped and looks for its file.
func holds(s *serve.Server, id, mark string) {
	s.T.Helper()
	b, err := s.Client.Get(s.T.Context(), id)
	if err != nil {
		s.T.Fatal(err)
	}
	if b.State != api.SandboxStopped {
		s.T.Fatalf("sandbox %s is %s: %s", id, b.State, b.ErrorReason)
	}
	if err := b.Start(s.T.Context()); err != nil {
		s.T.Fatal(err)
	}
	if got := strings.TrimSpace(s.Output(id, "cat /root/mark")); got != mark {
		s.T.Errorf("sandbox %s: its file holds %q, want %q", id, got, mark)
	}
}

func command(s *serve.Server, args ...string) string {
	s.T.Helper()
	out, err := s.Command(args...)
	if err != nil {
		s.T.Fatalf("%v: %v: %s", args, err, out)
	}
	return out
}

func TestALostDatabaseCostsNoDisk(t *testing.T) {
	for name, lose := range map[string]func(*serve.Server){"removed": (*serve.Server).DropDatabase, "empty": (*serve.Server).EmptyDatabase} {
		t.Run(name, func(t *testing.T) {
			serve.LeavesNothing(t)
			s := serve.New(t)
			s.Snapshot("box", box)
			running, other := marked(s, "one"), marked(s, "two")
			stopped := marked(s, "three")
			b, err := s.Client.Get(t.Context(), stopped)
			if err == nil {
				err = b.Stop(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			s.End(unix.SIGTERM)
			lose(s)
			for range 2 {
				if why := s.Refused(); !strings.Contains(why, "quarantine all") || !strings.Contains(why, "restore it from a backup") {
					t.Fatalf("it does not say what to do: %s", why)
				}
			}
			command(s, "quarantine", "all")
			s.Start()
			list := command(s, "quarantine", "list")
			for _, id := range []string{running, other, stopped} {
				if !strings.Contains(list, id) {
					t.Fatalf("sandbox %s is not listed: %s", id, list)
				}
			}
			if out, _ := s.Command("check"); !strings.Contains(out, running) {
				t.Errorf("check says nothing of it: %s", out)
			}
			// Nothing is lost by further starts either, however they end.
			s.End(unix.SIGKILL)
			s.Start()
			command(s, "quarantine", "adopt", running, stopped)
			holds(s, running, "one")
			holds(s, stopped, "three")
			if list := command(s, "quarantine", "list"); strings.Contains(list, running) || !strings.Contains(list, other) {
				t.Errorf("listed after two were adopted: %s", list)
			}
			// What is asked for while no server runs is done by the next one.
			s.End(unix.SIGTERM)
			command(s, "quarantine", "purge", other)
			s.Start()
			s.Eventually("the purged disk is gone", func() error {
				if _, err := os.Stat(filepath.Join(s.Data, "disks/mnt/aside", other)); err == nil {
					return os.ErrExist
				}
				return nil
			})
			holdsAfterRestart(s, running)
		})
	}
}

// holdsAfterRestart makes sure that an adopted sandbox runs on like any other.
func holdsAfterRestart(s *serve.Server, id string) {
	s.T.Helper()
	s.End(unix.SIGKILL)
	s.Start()
	if got := strings.TrimSpace(s.Output(id, "cat /root/mark")); got == "" {
		s.T.Error("the adopted sandbox has lost its file")
	}
}

func TestAnOlderDatabaseCostsNoDisk(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	s.Snapshot("box", box)
	early := marked(s, "early")
	s.End(unix.SIGTERM)
	older := s.BackUp()
	s.Start()
	s.Snapshot("late", "alpine:3.21")
	late, adopted := marked(s, "late"), marked(s, "adopted")
	s.End(unix.SIGTERM)
	newer := s.BackUp()
	s.Restore(older)
	s.Start()
	if list := command(s, "quarantine", "list"); !strings.Contains(list, late) || !strings.Contains(list, adopted) || strings.Contains(list, early) {
		t.Fatalf("listed: %s", list)
	}
	if got := strings.TrimSpace(s.Output(early, "cat /root/mark")); got != "early" {
		t.Errorf("the sandbox that the older copy knows has %q", got)
	}
	command(s, "quarantine", "adopt", adopted)
	holds(s, adopted, "adopted")

	// The right database is found after all.
	s.End(unix.SIGTERM)
	s.Restore(newer)
	s.Start()
	settled(s)
	for id, mark := range map[string]string{early: "early", late: "late", adopted: "adopted"} {
		b, err := s.Client.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if b.State == api.SandboxStopped {
			if err := b.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		s.Eventually("it runs", func() error { // the row may say that it did
			if b, err = s.Client.Get(t.Context(), id); err == nil && b.State != api.SandboxStarted {
				err = fmt.Errorf("it is %s", b.State)
			}
			return err
		})
		if got := strings.TrimSpace(s.Output(id, "cat /root/mark")); got != mark {
			t.Errorf("sandbox %s has %q, want %q", id, got, mark)
		}
	}
	if list := command(s, "quarantine", "list"); strings.Contains(list, late) {
		t.Errorf("still listed: %s", list)
	}
}
