// Package e2e runs the real server program, kills it, and looks at what is left.
// Images come from the fixtures' registry. It needs root and `make build`.
package e2e

import (
	"bufio"
	"bytes"
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
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	daytona "github.com/opendaytona/daytona/sdk"
	"github.com/opendaytona/daytona/test/fixtures"
)

// program is the server's, built by TestMain.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if os.Geteuid() != 0 {
			fmt.Fprintln(os.Stderr, "e2e: these tests need root")
			return 1
		}
		dir, err := os.MkdirTemp("", "e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "daytona")
		if out, err := exec.Command("go", "build", "-o", program, "../../cmd/daytona").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "e2e: build the server: %v: %s\n", err, out)
			return 1
		}
		return m.Run()
	}())
}

// server is one data directory and the process that serves it, now or again.
type server struct {
	t        *testing.T
	data     string
	listen   string
	registry *fixtures.Registry
	mirror   string
	process  *exec.Cmd
	log      bytes.Buffer
	client   *daytona.Client
}

func newServer(t *testing.T) *server {
	t.Helper()
	return newServerAt(t, t.TempDir())
}

func newServerAt(t *testing.T, data string) *server {
	t.Helper()
	s := &server{t: t, data: data, registry: fixtures.NewRegistry()}
	if err := os.Chmod(s.data, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := s.registry.AddEdges(); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s.registry)
	t.Cleanup(web.Close)
	s.mirror = web.URL
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.listen = l.Addr().String()
	l.Close()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server's log:\n%s", last(s.log.String(), 60))
		}
	})
	t.Cleanup(func() { s.purge() })
	s.start()
	return s
}

func last(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func (s *server) flags() []string {
	return []string{"--data-dir", s.data, "--disk-size", "8GiB", "--network-slots", "2"}
}

// start starts the server and waits until it is ready.
func (s *server) start() {
	s.t.Helper()
	s.process = exec.Command(program, append([]string{"server", "--listen", s.listen, "--mirror", "docker.io=" + s.mirror,
		"--default-image", "none"}, s.flags()...)...)
	s.process.Stdout, s.process.Stderr = &s.log, &s.log
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("the server is ready", func() error {
		b, err := os.ReadFile(filepath.Join(s.data, "credentials.json"))
		if err != nil {
			return err
		}
		var c struct{ APIURL, APIKey string }
		if err := json.Unmarshal(b, &c); err != nil {
			return err
		}
		if s.client, err = daytona.NewClientWithConfig(daytona.Config{APIURL: c.APIURL, APIKey: c.APIKey}); err != nil {
			return err
		}
		_, err = s.client.Snapshot.List(s.t.Context(), daytona.ListSnapshotsParams{})
		return err
	})
}

// end ends the server by a signal.
func (s *server) end(sig unix.Signal) {
	s.t.Helper()
	if s.process == nil {
		return
	}
	if err := s.process.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
	err := s.process.Wait()
	s.process = nil
	if sig == unix.SIGTERM && err != nil {
		s.t.Errorf("the server ended badly: %v", err)
	}
}

func (s *server) purge() {
	s.t.Helper()
	s.end(unix.SIGTERM)
	out, err := exec.Command(program, append([]string{"server", "purge", "--data"}, s.flags()...)...).CombinedOutput()
	if err != nil {
		s.t.Errorf("purge: %v: %s", err, out)
	}
}

// eventually waits until f succeeds.
func (s *server) eventually(what string, f func() error) {
	s.t.Helper()
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	s.t.Fatalf("%s: not within 30 s: %v", what, err)
}

// snapshot makes an active one.
func (s *server) snapshot(name, image string) {
	s.t.Helper()
	if _, err := s.client.Snapshot.Create(s.t.Context(), daytona.CreateSnapshotParams{Name: name, Image: image}, nil); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) sandbox(name string) *daytona.Sandbox {
	s.t.Helper()
	box, err := s.client.Create(s.t.Context(), daytona.CreateParams{Snapshot: name})
	if err != nil {
		s.t.Fatal(err)
	}
	return box
}

func (s *server) output(id, command string) string {
	s.t.Helper()
	box, err := s.client.Get(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := box.Process.ExecuteCommand(s.t.Context(), command, daytona.ExecuteOptions{})
	if err != nil {
		s.t.Fatalf("%s: %v", command, err)
	}
	return answer.Result
}

// traces is everything of ours on the machine: mounts, links, tables, control
// groups, loop devices and processes.
func traces(t *testing.T) map[string]bool {
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
	add("build mount", `/[^ ]*buildkit-mount[^ ]* .*/`+regexp.QuoteMeta(t.Name())+`\d`, string(mounts))
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
	for _, root := range []string{"/sys/fs/cgroup/*/daytona*", "/sys/fs/cgroup/daytona*"} {
		groups, err := filepath.Glob(root)
		if err != nil {
			t.Fatal(err)
		}
		add("cgroup", `.*`, strings.Join(groups, "\n"))
	}
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

// leavesNothing compares the machine before and after the test.
func leavesNothing(t *testing.T) {
	t.Helper()
	before := traces(t)
	t.Cleanup(func() {
		var left []string
		// The kernel takes a moment for a loop device whose last user is gone.
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			left = nil
			for what := range traces(t) {
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

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
