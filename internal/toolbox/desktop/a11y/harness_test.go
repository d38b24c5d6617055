package a11y

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// testDesktop is an X server and a session bus, on which D-Bus starts the
// accessibility bus and its registry when they are asked for.
type testDesktop struct {
	address string
	env     []string
	stop    []func()
	last    *os.Process // that was started
}

var theDesktop = sync.OnceValues(startDesktop)

func TestMain(m *testing.M) {
	code := m.Run()
	if desktop, err := theDesktop(); err == nil {
		desktop.end()
	}
	os.Exit(code)
}

func startDesktop() (_ *testDesktop, err error) {
	d := &testDesktop{}
	defer func() {
		if err != nil {
			d.end()
		}
	}()
	dir, err := os.MkdirTemp("", "desktop-*")
	if err != nil {
		return nil, err
	}
	d.stop = append(d.stop, func() { _ = os.RemoveAll(dir) })
	// Only the variables that a desktop needs: those of whoever runs the tests may name a real one.
	d.env = []string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "LC_ALL=C.UTF-8",
		"GSETTINGS_BACKEND=memory", "XDG_CACHE_HOME=" + filepath.Join(dir, "cache"),
	}
	display, err := d.start("Xvfb", "-displayfd", "1", "-screen", "0", "1024x768x24", "-nolisten", "tcp")
	if err != nil {
		return nil, err
	}
	d.env = append(d.env, "DISPLAY=:"+display)
	if d.address, err = d.start("dbus-daemon", "--session", "--nofork", "--print-address"); err != nil {
		return nil, err
	}
	d.env = append(d.env, "DBUS_SESSION_BUS_ADDRESS="+d.address)
	return d, nil
}

// start runs a program until the end of the tests, and returns the first line
// that it writes.
func (d *testDesktop) start(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = d.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("%w: make test-packages installs it", err)
	}
	d.last = cmd.Process
	d.stop = append(d.stop, func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s said nothing: %w", name, err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return strings.TrimSpace(line), nil
}

func (d *testDesktop) end() {
	for i := len(d.stop) - 1; i >= 0; i-- {
		d.stop[i]()
	}
}

// testSilence is shorter than silence, for tests of programs that say nothing.
const testSilence = 2 * time.Second

// client sends requests to a service on the desktop.
type client struct {
	t       *testing.T
	desktop *testDesktop
	http    http.Handler
}

func newClient(t *testing.T) *client {
	t.Helper()
	desktop, err := theDesktop()
	if err != nil {
		t.Fatal(err)
	}
	s := New(desktop.address)
	s.buses.patience = patience{silence: testSilence, cache: time.Minute, walk: time.Minute} // others may be at work here
	t.Cleanup(s.Close)
	mux := http.NewServeMux()
	s.Register(mux)
	return &client{t, desktop, mux}
}

// run starts a GTK program, which ends with the test, and returns its process.
func (c *client) run(args ...string) *os.Process {
	c.t.Helper()
	own := *c.desktop
	own.stop = nil
	// Not the first python3 of PATH, which may have no GTK.
	line, err := own.start("/usr/bin/python3", append([]string{"testdata/form.py"}, args...)...)
	c.t.Cleanup(own.end)
	if err != nil || line != "ready" {
		c.t.Fatalf("the form says %q, error %v: it needs python3-gi and gir1.2-gtk-3.0 (make test-packages)", line, err)
	}
	pid := own.last.Pid
	eventually(c.t, "the form is on the bus", func() bool {
		return c.send(c.t.Context(), http.MethodGet, fmt.Sprint("/tree?scope=pid&maxDepth=0&pid=", pid), nil).Code == http.StatusOK
	})
	return own.last
}

func (c *client) send(ctx context.Context, method, path string, body any) *httptest.ResponseRecorder {
	c.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	c.http.ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, "/computeruse/a11y"+path, bytes.NewReader(text)))
	return w
}

type answer struct {
	Root      *Node
	Matches   []*Node
	Truncated bool
	Code      string
	Message   string
}

// ask sends a request that must be answered with status.
func (c *client) ask(status int, method, path string, body any) answer {
	c.t.Helper()
	w := c.send(c.t.Context(), method, path, body)
	if w.Code != status {
		c.t.Fatalf("%s %s %v: %d %.500s", method, path, body, w.Code, w.Body)
	}
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		c.t.Fatal(err)
	}
	return a
}

func (c *client) tree(query string) answer {
	c.t.Helper()
	return c.ask(http.StatusOK, http.MethodGet, "/tree?"+query, nil)
}

// one finds the only node of process pid with that role and name.
func (c *client) one(pid int, role, name string) *Node {
	c.t.Helper()
	a := c.ask(http.StatusOK, http.MethodPost, "/find", fields{"scope": "pid", "pid": pid, "role": role, "name": name, "nameMatch": "exact"})
	if len(a.Matches) != 1 {
		c.t.Fatalf("%d nodes are a %s named %q: %+v", len(a.Matches), role, name, a.Matches)
	}
	return a.Matches[0]
}

type fields map[string]any

// eventually waits until done, which programs need who draw when they have time.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not happen", what)
		}
	}
}

// count is the number of nodes of a tree, by a walk of its own.
func count(n *Node) int {
	sum := 1
	for _, c := range n.Children {
		sum += count(c)
	}
	return sum
}
