package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/config"
	"github.com/opendaytona/daytona/internal/defaultimage"

	"github.com/coder/websocket"
	"github.com/spf13/pflag"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/enginetest"
	"github.com/opendaytona/daytona/internal/engine/local"
	"github.com/opendaytona/daytona/internal/engine/local/disk"
)

// testServer is a whole server on a machine whose sandboxes are in memory; the
// store, the images and all that is above them are the real ones.
type testServer struct {
	*testing.T
	*server
	creds config.Credentials
	end   context.CancelFunc
	ended chan error
}

// testConfig is a configuration for tests, in a data directory of its own unless
// args name another.
func testConfig(t *testing.T, args ...string) config.Config {
	t.Helper()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.AddFlags(flags)
	all := append([]string{"--data-dir", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0", "--default-image", "none", "--shutdown-timeout", "5s"}, args...)
	if err := flags.Parse(all); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(flags, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func testHost(e *memoryEngine) host {
	return host{
		openEngine: func(context.Context, local.Options) (hostEngine, error) { return e.open(), nil },
		images:     defaultimage.Source{Base: defaultimage.BaseImage{Reference: "daytona.internal/base:1"}},
	}
}

// start runs a server until stop, or the end of the test.
func start(t *testing.T, c config.Config, m host) *testServer {
	t.Helper()
	ts := &testServer{T: t, ended: make(chan error, 1)}
	s, err := newServer(c, "test", m, slog.New(slog.NewTextHandler(&logWriter{t: t}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ts.server = s
	var ctx context.Context
	ctx, ts.end = context.WithCancel(context.Background())
	go func() { ts.ended <- s.run(ctx) }()
	t.Cleanup(ts.stop)
	ts.recovered()
	if ts.creds, err = config.ReadCredentials(s.Below(config.CredentialsName)); err != nil {
		t.Fatal(err)
	}
	return ts
}

// recovered waits until requests are let in.
func (ts *testServer) recovered() {
	ts.Helper()
	ts.eventually("the server has recovered", func() bool {
		select {
		case err := <-ts.ended:
			ts.ended <- err
			ts.Fatalf("the start ended with: %v", err)
		default:
		}
		_, text := ts.raw("GET", "http://"+ts.http.Address().String()+"/api/regions", "", "")
		return !strings.Contains(text, "RECOVERING")
	})
}

// openServer opens a server that answers nobody.
func openServer(ctx context.Context, c config.Config, h host, log *slog.Logger) (*server, error) {
	s, err := newServer(c, "test", h, log)
	if err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (ts *testServer) stop() {
	ts.Helper()
	ts.end()
	select {
	case err := <-ts.ended:
		if err != nil {
			ts.Errorf("the server ended with: %v", err)
		}
		ts.ended <- nil
	case <-time.After(30 * time.Second):
		stacks := make([]byte, 1<<20)
		ts.Fatalf("the server does not end:\n%s", stacks[:runtime.Stack(stacks, true)])
	}
}

func (ts *testServer) call(method, path, body string, want int) map[string]any {
	ts.Helper()
	status, text := ts.raw(method, ts.origin()+path, ts.creds.APIKey, body)
	if status != want {
		ts.Fatalf("%s %s: %d, want %d: %s", method, path, status, want, text)
	}
	var out map[string]any
	if strings.HasPrefix(text, "{") {
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			ts.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
	return out
}

func (ts *testServer) raw(method, url, key, body string) (int, string) {
	ts.Helper()
	return ts.rawWith(method, url, key, body)
}

// rawWith is raw with pairs of headers besides.
func (ts *testServer) rawWith(method, url, key, body string, header ...string) (int, string) {
	ts.Helper()
	r, err := http.NewRequestWithContext(ts.Context(), method, url, strings.NewReader(body))
	if err != nil {
		ts.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := ts.client().Do(r)
	if err != nil {
		ts.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		ts.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// client connects to the server whatever the host.
func (ts *testServer) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", ts.http.Address().String())
		},
		DisableKeepAlives: true,
	}}
}

func (ts *testServer) eventually(what string, is func() bool) {
	ts.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("never: %s", what)
		}
	}
}

// logWriter passes the log to the test while it goes on.
type logWriter struct{ t *testing.T }

func (w *logWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// memoryEngine is the engine of a machine that outlives its servers, and has one
// agent for all sandboxes.
type memoryEngine struct {
	*enginetest.Machine
	*enginetest.Engine           // of the server that runs
	disks              disk.Pool // of builds
}

func newMemoryEngine(t testing.TB, agent http.Handler) *memoryEngine {
	t.Helper()
	m := enginetest.NewMachine()
	m.Agent = agent
	return &memoryEngine{Machine: m, disks: plainDisks(t)}
}

func (m *memoryEngine) open() hostEngine {
	m.Engine = m.Machine.Open()
	return m
}

// BuildDisks are plain directories.
func (m *memoryEngine) BuildDisks() engine.BuildDisks { return local.BuildDisksIn(m.disks) }

func plainDisks(t testing.TB) disk.Pool {
	t.Helper()
	pool, err := disk.OpenPlain(disk.Config{Dir: filepath.Join(t.TempDir(), "disks"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

// RunStep implements engine.StepRunner; nothing is built here.
func (m *memoryEngine) RunStep(context.Context, engine.Step) (int, error) {
	return 0, errors.ErrUnsupported
}

func echo(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "agent %s", r.URL.Path) }

// goroutines are those of our packages, but for the caller's.
func goroutines() []string {
	stacks := make([]byte, 4<<20)
	all := strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n")
	var ours []string
	for _, stack := range all[1:] {
		if strings.Contains(stack, "opendaytona/daytona/internal/") && !strings.Contains(stack, "testing.tRunner") && !strings.Contains(stack, "newMemoryEngine") {
			ours = append(ours, stack)
		}
	}
	return ours
}

// noMoreGoroutines waits for those that were told to end and have not been
// given a processor yet.
func noMoreGoroutines(t *testing.T, before int) {
	t.Helper()
	var left []string
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if left = goroutines(); len(left) <= before {
			return
		}
	}
	t.Errorf("%d goroutines were left behind (%d before):\n%s", len(left), before, strings.Join(left, "\n\n"))
}

func TestTheEndOfAServerLeavesNothingOpenAndSandboxesRunning(t *testing.T) {
	e := newMemoryEngine(t, http.HandlerFunc(echo))
	c := testConfig(t, "--mirror", "docker.io="+testHub(t))
	before := len(goroutines())
	s := start(t, c, testHost(e))
	s.call("POST", "/api/snapshots", `{"name":"snap","imageName":"library/small:1"}`, 200)
	s.eventually("the snapshot is active", func() bool { return s.call("GET", "/api/snapshots/snap", "", 200)["state"] == "active" })
	id := s.call("POST", "/api/sandbox", `{"snapshot":"snap","name":"box"}`, 200)["id"].(string)
	if status, text := s.raw("GET", s.origin()+"/toolbox/box/version", s.creds.APIKey, ""); status != 200 || text != "agent /version" {
		t.Errorf("toolbox: %d %s", status, text)
	}
	key := s.creds.APIKey
	s.stop()
	http.DefaultClient.CloseIdleConnections()
	if !e.Runs(id) {
		t.Error("the sandbox was stopped")
	}
	if _, err := e.List(t.Context()); err == nil {
		t.Error("the engine is still open")
	}
	noMoreGoroutines(t, before)

	again := start(t, c, testHost(e))
	if again.creds.APIKey != key {
		t.Error("a restart changed the key")
	}
	if got := again.call("GET", "/api/sandbox/box", "", 200); got["state"] != "started" {
		t.Errorf("after the restart the sandbox is %v", got["state"])
	}
}

func TestRequestsFinishAndStreamsAreCutAtTheEnd(t *testing.T) {
	started, release := make(chan string, 2), make(chan struct{})
	e := newMemoryEngine(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		started <- r.URL.Path
		switch r.URL.Path {
		case "/short":
			<-release
			fmt.Fprint(w, "done")
		case "/endless":
			<-r.Context().Done()
		}
	}))
	s := start(t, testConfig(t, "--mirror", "docker.io="+testHub(t), "--shutdown-timeout", "1500ms"), testHost(e))
	s.call("POST", "/api/snapshots", `{"name":"snap","imageName":"library/small:1"}`, 200)
	s.eventually("the snapshot is active", func() bool { return s.call("GET", "/api/snapshots/snap", "", 200)["state"] == "active" })
	s.call("POST", "/api/sandbox", `{"snapshot":"snap","name":"box"}`, 200)

	type answer struct {
		text string
		err  error
	}
	get := func(path string) chan answer {
		out := make(chan answer, 1)
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.origin()+"/toolbox/box"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+s.creds.APIKey)
		go func() {
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				out <- answer{"", err}
				return
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			out <- answer{string(text), err}
		}()
		<-started
		return out
	}
	short, endless := get("/short"), get("/endless")
	began := time.Now()
	s.end()
	s.eventually("no more requests are taken", func() bool {
		c, err := net.Dial("tcp", s.http.Address().String())
		if err != nil {
			return true
		}
		c.Close()
		return false
	})
	close(release)
	if a := <-short; a.err != nil || a.text != "done" {
		t.Errorf("the request that finishes in time got %q, %v", a.text, a.err)
	}
	if a := <-endless; a.err == nil {
		t.Error("the stream ended as if it were complete")
	}
	s.stop()
	if took := time.Since(began); took < 1500*time.Millisecond || took > 10*time.Second {
		t.Errorf("the end took %s", took)
	}
}

func TestAStartThatFailsClosesWhatItOpened(t *testing.T) {
	e := newMemoryEngine(t, http.HandlerFunc(echo))
	c := testConfig(t)
	broken := testHost(e)
	broken.openEngine = func(context.Context, local.Options) (hostEngine, error) { return nil, errors.New("no btrfs") }
	before := len(goroutines())
	_, err := openServer(t.Context(), c, broken, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "no btrfs") {
		t.Fatalf("got %v", err)
	}
	noMoreGoroutines(t, before)
	start(t, c, testHost(e)) // nothing is locked
}

func TestTwoServersDoNotShareADataDirectory(t *testing.T) {
	e := newMemoryEngine(t, http.HandlerFunc(echo))
	c := testConfig(t)
	s := start(t, c, testHost(e))
	_, err := openServer(t.Context(), c, testHost(e), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "another server") || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("the second server: %v", err)
	}
	s.call("GET", "/api/health/ready", "", 200) // the first one did not notice

	c = testConfig(t, "--listen", s.http.Address().String())
	_, err = openServer(t.Context(), c, testHost(e), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("the second server at the same address: %v", err)
	}
}

func TestAnEngineThatFailsIsNotReady(t *testing.T) {
	e := newMemoryEngine(t, http.HandlerFunc(echo))
	s := start(t, testConfig(t), testHost(e))
	s.call("GET", "/api/health/ready", "", 200)
	e.Inject(enginetest.Fault{Method: "List", Err: errors.New("gone")})
	s.eventually("it is not ready and says why", func() bool { // what was seen a moment ago is told again
		status, text := s.raw("GET", s.origin()+"/api/health/ready", "", "")
		return status == 503 && strings.Contains(text, "engine")
	})
	s.call("GET", "/api/health", "", 200)
}

func TestAWebSocketOfAToolboxPassesAndIsCutAtTheEnd(t *testing.T) {
	e := newMemoryEngine(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		for {
			kind, text, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if err := c.Write(r.Context(), kind, append([]byte("echo "), text...)); err != nil {
				return
			}
		}
	}))
	s := start(t, testConfig(t, "--mirror", "docker.io="+testHub(t), "--shutdown-timeout", "100ms"), testHost(e))
	s.call("POST", "/api/snapshots", `{"name":"snap","imageName":"library/small:1"}`, 200)
	s.eventually("the snapshot is active", func() bool { return s.call("GET", "/api/snapshots/snap", "", 200)["state"] == "active" })
	s.call("POST", "/api/sandbox", `{"snapshot":"snap","name":"box"}`, 200)
	c, _, err := websocket.Dial(t.Context(), strings.Replace(s.origin(), "http", "ws", 1)+"/toolbox/box/pty", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + s.creds.APIKey}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if err := c.Write(t.Context(), websocket.MessageText, []byte("hi")); err != nil {
		t.Fatal(err)
	}
	if _, text, err := c.Read(t.Context()); err != nil || string(text) != "echo hi" {
		t.Fatalf("got %q, %v", text, err)
	}
	s.stop()
	if _, _, err := c.Read(t.Context()); err == nil {
		t.Error("the WebSocket is still open")
	}
}

func TestQuotasOfTheConfigurationHoldFromTheNextStartOn(t *testing.T) {
	e, hub := newMemoryEngine(t, http.HandlerFunc(echo)), testHub(t)
	c := testConfig(t, "--mirror", "docker.io="+hub, "--quota-snapshots", "1", "--max-cpu", "2")
	s := start(t, c, testHost(e))
	s.call("POST", "/api/snapshots", `{"name":"one","imageName":"library/small:1"}`, 200)
	s.call("POST", "/api/snapshots", `{"name":"two","imageName":"library/small:1"}`, 400)
	s.stop()
	c.Quota.Snapshots = 2
	s = start(t, c, testHost(e))
	s.call("POST", "/api/snapshots", `{"name":"big","imageName":"library/small:1","cpu":3}`, 400)
	s.call("POST", "/api/snapshots", `{"name":"two","imageName":"library/small:1"}`, 200)
}

// Probe is machine.Prober.
func (m *memoryEngine) Probe(context.Context) []local.Requirement {
	return []local.Requirement{{Name: "memory", OK: true}}
}

// Surroundings is machine.Prober.
func (m *memoryEngine) Surroundings() (string, error) { return "a test", nil }
