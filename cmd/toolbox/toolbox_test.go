package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startAgent runs the real program as first process of a new pid namespace.
func startAgent(t *testing.T) func(method, path, body string) (int, map[string]any) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test makes a pid namespace and must run as root")
	}
	dir := t.TempDir()
	bin, socket := filepath.Join(dir, "toolbox"), filepath.Join(dir, "s")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	config := filepath.Join(dir, "config.json")
	text := `{"sandboxId":"x","workDir":"` + dir + `","env":{"A":"b"},"entrypoint":["sleep","1000"],"version":"test"}`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	agent := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", bin, "serve", "--socket", socket, "--config", config)
	agent.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = agent.Process.Kill()
		_ = agent.Wait()
	})
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if res, err := client.Get("http://agent/version"); err == nil {
			_ = res.Body.Close()
			break
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	return func(method, path, body string) (int, map[string]any) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://agent"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		var out map[string]any
		if len(text) > 0 && text[0] == '{' {
			if err := json.Unmarshal(text, &out); err != nil {
				t.Fatalf("%s: %v in %s", path, err, text)
			}
		}
		return res.StatusCode, out
	}
}

func TestTheAgentRunsCommandsCodeAndSessions(t *testing.T) {
	call := startAgent(t)
	for _, c := range []struct {
		path, body string
		status     int
		want       map[string]any
	}{
		{"/process/execute", `{"command":"echo hi $A; exit 3"}`, 200, map[string]any{"exitCode": 3.0, "result": "hi b\n"}},
		{"/process/execute", `{"command":"kill -9 $$"}`, 200, map[string]any{"exitCode": 137.0}},
		{"/process/execute", `{"command":"sleep 60","timeout":1}`, 408, map[string]any{"code": "PROCESS_EXECUTION_TIMEOUT", "source": "DAYTONA_DAEMON"}},
		{"/process/execute", `{"command":"true","cwd":"/none/here"}`, 400, map[string]any{"source": "DAYTONA_DAEMON"}},
		{"/process/code-run", `{"code":"print(1+1)","language":"python"}`, 200, map[string]any{"exitCode": 0.0, "result": "2\n"}},
		{"/process/session", `{"sessionId":"s"}`, 201, nil},
		{"/process/session", `{"sessionId":"s"}`, 409, nil},
		{"/process/session/s/exec", `{"command":"cd /usr; export Q=1"}`, 200, map[string]any{"exitCode": 0.0}},
		{"/process/session/s/exec", `{"command":"pwd; echo $Q; echo err >&2"}`, 200, map[string]any{"stdout": "/usr\n1\n", "stderr": "err\n"}},
		{"/process/session/none/exec", `{"command":"true"}`, 404, nil},
	} {
		status, got := call("POST", c.path, c.body)
		if status != c.status {
			t.Errorf("%s %s: %d, want %d: %v", c.path, c.body, status, c.status, got)
		}
		for field, want := range c.want {
			if got[field] != want {
				t.Errorf("%s %s: %s is %v, want %v", c.path, c.body, field, got[field], want)
			}
		}
	}
	if status, _ := call("GET", "/files/info?path=/none/here", ""); status != 404 {
		t.Errorf("a missing file: %d", status)
	}
	if status, _ := call("GET", "/files/info?path=%00", ""); status != 400 {
		t.Errorf("a path with a NUL byte: %d", status)
	}
}

func TestOutputOfAnySizeAndOrphansAreHandled(t *testing.T) {
	call := startAgent(t)
	status, got := call("POST", "/process/execute", `{"command":"seq 1000000"}`)
	if text, _ := got["result"].(string); status != 200 || strings.Count(text, "\n") != 1_000_000 {
		t.Errorf("a million lines: %d, %d bytes", status, len(text))
	}
	// Orphans become children of the first process, which must reap them.
	call("POST", "/process/execute", `{"command":"for i in $(seq 20); do (sleep 0.1 &) ; done"}`)
	time.Sleep(time.Second)
	_, got = call("POST", "/process/execute", `{"command":"grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l"}`)
	if got["result"] != "0\n" {
		t.Errorf("zombies: %v", got["result"])
	}
}
