// Package serve runs the real server program in tests, with images of the
// fixtures' registry, and looks at what is left of it on the machine. It needs
// root. It is for the tests in test/e2e and test/isolation.
package serve

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine/local/cgroup/cgrouptest"
	daytona "github.com/opendaytona/daytona/sdk"
	"github.com/opendaytona/daytona/test/fixtures"
)

// program is the server's, built by Main.
var program string

// Main is the body of a TestMain: it builds the server, runs the tests and
// returns the exit code.
func Main(m *testing.M) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "serve: these tests need root")
		return 1
	}
	dir, err := os.MkdirTemp("", "serve-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if program, err = Program(dir, "daytona", "../../cmd/daytona"); err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		return 1
	}
	stop, err := startDatabases()
	if err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		return 1
	}
	code := m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		return 1
	}
	return code
}

// Program is the path of a static program: built from the package into dir, or,
// for machines without Go, the one in the directory DAYTONA_TEST_PROGRAMS, which
// make test-vm fills.
func Program(dir, name, pkg string) (string, error) {
	if built := os.Getenv("DAYTONA_TEST_PROGRAMS"); built != "" {
		return filepath.Join(built, name), nil
	}
	path := filepath.Join(dir, name)
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", path, pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", name, err, out)
	}
	return path, nil
}

// Server is one data directory and the process that serves it, now or again.
type Server struct {
	T        *testing.T
	Data     string
	Listen   string // address
	Registry *fixtures.Registry
	Mirror   string    // URL of the registry
	Process  *exec.Cmd // nil when it does not run
	Client   *daytona.Client

	options  []string
	database string // of PostgreSQL
	log      bytes.Buffer
}

// New starts a server on the loopback, which ends with the test. Options are
// further flags of it.
func New(t *testing.T, options ...string) *Server {
	t.Helper()
	return NewAt(t, t.TempDir(), options...)
}

// NewAt starts a server on a data directory.
func NewAt(t *testing.T, data string, options ...string) *Server {
	t.Helper()
	s := &Server{T: t, Data: data, Registry: fixtures.NewRegistry(), options: options}
	if err := os.Chmod(s.Data, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := s.Registry.AddEdges(); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s.Registry)
	t.Cleanup(web.Close)
	s.Mirror = web.URL
	s.newDatabase()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Listen = l.Addr().String()
	l.Close()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server's log:\n%s", last(s.log.String(), 60))
		}
	})
	t.Cleanup(func() { s.Purge() })
	s.Start()
	return s
}

func last(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Flags are those that the server and its purge share.
func (s *Server) Flags() []string {
	return []string{"--data-dir", s.Data, "--disk-size", "8GiB", "--network-slots", "2"}
}

func (s *Server) arguments() []string {
	return append([]string{"server", "--listen", s.Listen, "--mirror", "docker.io=" + s.Mirror,
		"--default-image", "none"}, append(s.Flags(), s.options...)...)
}

// Start starts the server and waits until it is ready.
func (s *Server) Start() {
	s.T.Helper()
	s.Process = exec.Command(program, s.arguments()...)
	s.Process.Env = s.environment()
	s.Process.Stdout, s.Process.Stderr = &s.log, &s.log
	if err := s.Process.Start(); err != nil {
		s.T.Fatal(err)
	}
	s.Eventually("the server is ready", func() error {
		b, err := os.ReadFile(filepath.Join(s.Data, "credentials.json"))
		if err != nil {
			return err
		}
		var c struct{ APIURL, APIKey string }
		if err := json.Unmarshal(b, &c); err != nil {
			return err
		}
		if s.Client, err = daytona.NewClientWithConfig(daytona.Config{APIURL: c.APIURL, APIKey: c.APIKey}); err != nil {
			return err
		}
		_, err = s.Client.Snapshot.List(s.T.Context(), daytona.ListSnapshotsParams{})
		return err
	})
}

// End ends the server by a signal.
func (s *Server) End(sig unix.Signal) {
	s.T.Helper()
	if s.Process == nil {
		return
	}
	if err := s.Process.Process.Signal(sig); err != nil {
		s.T.Fatal(err)
	}
	err := s.Process.Wait()
	s.Process = nil
	if sig == unix.SIGTERM && err != nil {
		s.T.Errorf("the server ended badly: %v", err)
	}
}

// Refused starts the server, which must end by itself, and returns why it did.
func (s *Server) Refused() string {
	s.T.Helper()
	c := exec.CommandContext(Within(s.T, time.Minute), program, s.arguments()...)
	c.Env = s.environment()
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		s.T.Fatalf("the server was to refuse to start: %v: %s", err, out)
	}
	return string(out)
}

// Command runs a subcommand of `daytona server` on the data directory.
func (s *Server) Command(args ...string) (string, error) {
	c := exec.Command(program, append(append([]string{"server"}, args...), s.Flags()...)...)
	c.Env = s.environment()
	out, err := c.CombinedOutput()
	return string(out), err
}

// Purge ends the server and frees all that it holds.
func (s *Server) Purge() {
	s.T.Helper()
	s.End(unix.SIGTERM)
	out, err := exec.Command(program, append([]string{"server", "purge", "--data"}, s.Flags()...)...).CombinedOutput()
	if err != nil {
		s.T.Errorf("purge: %v: %s", err, out)
	}
}

// Eventually waits until f succeeds.
func (s *Server) Eventually(what string, f func() error) {
	s.T.Helper()
	var err error
	patience := Slow(30 * time.Second)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	s.T.Fatalf("%s: not within %s: %v", what, patience, err)
}

// Snapshot makes an active one.
func (s *Server) Snapshot(name, image string) {
	s.T.Helper()
	if _, err := s.Client.Snapshot.Create(s.T.Context(), daytona.CreateSnapshotParams{Name: name, Image: image}, nil); err != nil {
		s.T.Fatal(err)
	}
}

// Sandbox creates one from a snapshot.
func (s *Server) Sandbox(name string) *daytona.Sandbox {
	s.T.Helper()
	box, err := s.Client.Create(s.T.Context(), daytona.CreateParams{Snapshot: name})
	if err != nil {
		s.T.Fatal(err)
	}
	return box
}

// Output is what a command in the sandbox says.
func (s *Server) Output(id, command string) string {
	s.T.Helper()
	box, err := s.Client.Get(s.T.Context(), id)
	if err != nil {
		s.T.Fatal(err)
	}
	answer, err := box.Process.ExecuteCommand(s.T.Context(), command, daytona.ExecuteOptions{})
	if err != nil {
		s.T.Fatalf("%s: %v", command, err)
	}
	return answer.Result
}

// Traces is everything of ours on the machine: mounts, links, tables, control
// groups, loop devices and processes.
func Traces(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	add := func(kind string, pattern string, lines string) {
		match := regexp.MustCompile(pattern)
		for s := bufio.NewScanner(strings.NewReader(lines)); s.Scan(); {
			if m := match.FindString(s.Text()); m != "" {
				found[kind+" "+m] = true
			}
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	add("mount", `/[^ ]*(disks/mnt|run/daytona)[^ ]*`, string(mounts))
	add("build mount", `/[^ ]*(buildkit|containerd)-mount[^ ]* .*/`+regexp.QuoteMeta(t.Name())+`\d`, string(mounts))
	command := func(args ...string) string {
		out, err := exec.Command(args[0], args[1:]...).Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out)
	}
	add("link", `dt\d+-\d+`, command("ip", "-br", "link"))
	add("loop", `/[^ ]*pool.btrfs.*`, command("losetup", "--noheadings", "--output", "BACK-FILE"))
	add("cgroup", `.*`, strings.Join(cgrouptest.Glob(t, "daytona*"), "\n"))
	add("process", `^ *\d+ +(/.daytona/toolbox|runc|/usr/sbin/runc).*`, command("ps", "-eo", "pid,args"))
	claims, err := filepath.Glob("/run/daytona/*")
	if err != nil {
		t.Fatal(err)
	}
	add("run", `.*/\d+$`, strings.Join(claims, "\n"))
	return found
}

// indexPattern finds the instance in the name of what it made.
var indexPattern = regexp.MustCompile(`(?:\bdt|/daytona|/run/daytona/)(\d+)`)

// others reports whether a trace is of a server that runs beside the test.
func others(t *testing.T, what string) bool {
	if strings.Contains(what, "disks/") { // below a data directory, which the test would have named
		return !strings.Contains(what, "/"+t.Name())
	}
	var pid int
	if _, err := fmt.Sscanf(what, "process %d", &pid); err == nil {
		groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err != nil {
			return true // it has ended
		}
		what = string(groups)
	}
	index := indexPattern.FindStringSubmatch(what)
	if index == nil {
		return false
	}
	owner, err := os.ReadFile("/run/daytona/instances/" + index[1])
	return err == nil && len(owner) > 0 && !strings.Contains(string(owner), "/"+t.Name())
}

// LeavesNothing compares the machine before and after the test.
func LeavesNothing(t *testing.T) {
	t.Helper()
	before := Traces(t)
	t.Cleanup(func() {
		var left []string
		// The kernel takes a moment for a loop device whose last user is gone.
		for end := time.Now().Add(Slow(10 * time.Second)); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			left = nil
			for what := range Traces(t) {
				if !before[what] && !others(t, what) {
					left = append(left, what)
				}
			}
			if len(left) == 0 {
				return
			}
		}
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	})
}

// slowness is how many times slower the machine is than one of users', as where
// QEMU emulates its processor.
var slowness = func() time.Duration {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("DAYTONA_TEST_SLOWNESS"), "1"))
	if err != nil || n < 1 {
		panic("DAYTONA_TEST_SLOWNESS is no number from 1: " + os.Getenv("DAYTONA_TEST_SLOWNESS"))
	}
	return time.Duration(n)
}()

// Slow is d on a machine that is as slow as this one.
func Slow(d time.Duration) time.Duration { return d * slowness }

// Within is a context that ends after d, on a slow machine later.
func Within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Slow(d))
	t.Cleanup(cancel)
	return ctx
}
