package local

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine"
)

// stopped makes a sandbox, runs the command in it and stops it.
func (f *fixture) stopped(command string) engine.Spec {
	f.t.Helper()
	s := f.create(func(s *engine.Spec) { s.User = "root" })
	if out, err := f.do(s.ID, command); err != nil {
		f.t.Fatalf("%s: %v: %s", command, err, out)
	}
	if err := f.Stop(f.t.Context(), s.ID, 0); err != nil {
		f.t.Fatal(err)
	}
	return s
}

func TestAStartDoesNotOpenWhatIsNoAccountFile(t *testing.T) {
	f := open(t, nil)
	for name, c := range map[string]struct{ command, path, reason string }{
		"a FIFO":                 {"rm -f /etc/passwd; mkfifo /etc/passwd", "/etc/passwd", "is no regular file (p---------)"},
		"a FIFO for groups":      {"rm -f /etc/group; mkfifo /etc/group", "/etc/group", "is no regular file (p---------)"},
		"a link to a FIFO":       {"mkfifo /tmp/p; ln -sf /tmp/p /etc/passwd", "/etc/passwd", "is no regular file (p---------)"},
		"a directory":            {"rm -f /etc/passwd; mkdir /etc/passwd", "/etc/passwd", "is no regular file (d---------)"},
		"a loop of links":        {"ln -sf passwd /etc/passwd", "/etc/passwd", "cannot be opened: too many levels of symbolic links"},
		"what is not read whole": {"truncate -s 3G /etc/passwd", "/etc/passwd", "is larger than 4 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			s := f.stopped(c.command)
			began := time.Now()
			err := f.Start(t.Context(), s)
			var bad *engine.BadFile
			if !errors.As(err, &bad) || bad.Path != c.path || bad.Reason != c.reason {
				t.Errorf("the start said %v", err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			if err := f.Delete(t.Context(), s.ID); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("a link into a filesystem that hides it", func(t *testing.T) {
		// The file lies below the device filesystem: it is made on the disk itself.
		s := f.stopped("ln -sf /dev/ptmx /etc/passwd")
		dev := filepath.Join(f.disks.Path(s.ID), "upper", "dev")
		if err := os.MkdirAll(dev, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dev, "ptmx"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		var bad *engine.BadFile
		if err := f.Start(t.Context(), s); !errors.As(err, &bad) || bad.Reason != "is a link into /dev" {
			t.Errorf("the start said %v", err)
		}
	})
	t.Run("no file at all", func(t *testing.T) {
		s := f.stopped("rm -f /etc/passwd /etc/group")
		if err := f.Start(t.Context(), s); err != nil {
			t.Error(err)
		}
	})
}

func TestAStartThatHangsEndsInAnErrorAndDelaysNobody(t *testing.T) {
	f := open(t, func(o *Options) { o.StartTimeout = 2 * time.Second })
	s := spec()
	if err := f.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "hangs")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n[ \"$3\" = --log ] && exec sleep 600\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	hanging, err := os.Open(script)
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	good := f.runtime.image
	f.runtime.image = hanging
	began := time.Now()
	err = f.Start(t.Context(), s)
	if took := time.Since(began); !errors.Is(err, engine.ErrStartTimeout) || took > 10*time.Second {
		t.Errorf("after %s it said %v", took, err)
	}
	f.runtime.image = good
	if left := f.cgroups.List(); len(left) != 0 {
		t.Errorf("cgroups are left: %v", left)
	}
	if err := f.Start(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	f.has(s.ID, "echo after all", "after all")
}

func TestTheRuntimeDirectoryMayBeNoexec(t *testing.T) {
	dir, err := os.MkdirTemp("", "run-") // a short path, for sockets
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(unix.Unmount(dir, 0), os.Remove(dir)); err != nil {
			t.Error(err)
		}
	})
	// Its claims are its own: what other servers have is not free for it.
	f := open(t, func(o *Options) { o.RuntimeDir = dir })
	s := f.create(nil)
	f.has(s.ID, "echo runs", "runs")
}

func TestTheServiceManagersEnvironmentIsNotTheSandboxes(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("LISTEN_FDS", "3")
	f := open(t, nil)
	s := f.create(nil)
	f.has(s.ID, "echo $NOTIFY_SOCKET$LISTEN_FDS-", "-")
}
