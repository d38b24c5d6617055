package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/toolbox/boot"
)

// machine has one running sandbox, "box" with id "id", whose agent is handler.
type machine struct {
	socket string
	mu     sync.Mutex
	used   int
}

func (m *machine) AuthorizeToolbox(_ context.Context, authorization, _, sandbox string) (string, error) {
	if authorization != "Bearer key" {
		return "", fault.Unauthorized("Authentication is required.")
	}
	if sandbox == "box" || sandbox == "id" {
		return "id", nil
	}
	if sandbox == "stopped" {
		return "stopped", nil
	}
	return "", fault.NotFound("SANDBOX_NOT_FOUND", "There is no such sandbox.")
}

func (m *machine) Dial(ctx context.Context, id string) (net.Conn, error) {
	if id != "id" {
		return nil, engine.ErrNotRunning
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", m.socket)
}

func (m *machine) Inspect(context.Context, string) (engine.Status, error) {
	return engine.Status{DiskUsed: 5, DiskLimit: 7}, nil
}

func (m *machine) touch(string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used++
}

func start(t *testing.T, agent http.HandlerFunc) (url string, m *machine) {
	t.Helper()
	m = &machine{socket: filepath.Join(t.TempDir(), "s")}
	l, err := net.Listen("unix", m.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: agent, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	web := httptest.NewServer(http.StripPrefix("/toolbox", New(Config{Authorizer: m, Dialer: m, Inspector: m, Touch: m.touch, Log: slog.New(slog.DiscardHandler)})))
	t.Cleanup(func() {
		web.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return web.URL + "/toolbox", m
}

func do(t *testing.T, method, url, key string, body io.Reader) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Cookie", "secret=1")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func TestRequestsReachTheAgentWithoutTheUsersSecrets(t *testing.T) {
	url, m := start(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %q %q", r.Method, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Cookie"))
	})
	res := do(t, "POST", url+"/box/files/a%2Fb?path=x%20y", "key", nil)
	text, err := io.ReadAll(res.Body)
	if want := `POST /files/a%2Fb?path=x%20y "" ""`; err != nil || string(text) != want {
		t.Errorf("the agent saw %s, %v; want %s", text, err, want)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used == 0 {
		t.Error("the request did not count as activity")
	}
}

func TestOnlyTheServerTellsOfTheDisk(t *testing.T) {
	url, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header[boot.DiskLimit], r.Header[boot.DiskUsed])
	})
	for route, want := range map[string]string{"/box/system/metrics": "[7] [5]", "/box/version": "[] []"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", url+route, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Authorization": {"Bearer key"}, boot.DiskLimit: {"1"}, boot.DiskUsed: {"1"}}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		if res.Body.Close(); err != nil || string(text) != want {
			t.Errorf("%s: the agent was told %s, %v; want %s", route, text, err, want)
		}
	}
}

func TestRefusalsAreEnvelopes(t *testing.T) {
	url, _ := start(t, func(http.ResponseWriter, *http.Request) { t.Error("the agent was reached") })
	for _, c := range []struct {
		path, key string
		status    int
		code      string
	}{
		{"/box/version", "wrong", 401, "UNAUTHORIZED"},
		{"/none/version", "key", 404, "SANDBOX_NOT_FOUND"},
		{"/stopped/version", "key", 409, "SANDBOX_NOT_STARTED"},
		{"/", "key", 400, "BAD_REQUEST"},
	} {
		res := do(t, "GET", url+c.path, c.key, nil)
		var e struct{ Code, Source, Message string }
		if err := json.NewDecoder(res.Body).Decode(&e); err != nil || res.StatusCode != c.status || e.Code != c.code || e.Source != "DAYTONA_PROXY" || e.Message == "" {
			t.Errorf("%s: %d %+v, %v", c.path, res.StatusCode, e, err)
		}
	}
}

func TestBothWaysAreStreams(t *testing.T) {
	url, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			fmt.Fprintf(w, "got %s\n", lines.Text())
			w.(http.Flusher).Flush()
		}
	})
	reader, writer := io.Pipe()
	go func() { _, _ = io.WriteString(writer, "one\n") }() // before the answer begins
	res := do(t, "POST", url+"/box/echo", "key", reader)
	lines := bufio.NewScanner(res.Body)
	for _, word := range []string{"one", "two", "three"} {
		if word != "one" {
			if _, err := io.WriteString(writer, word+"\n"); err != nil {
				t.Fatal(err)
			}
		}
		if !lines.Scan() || lines.Text() != "got "+word {
			t.Fatalf("after %s: %q, %v", word, lines.Text(), lines.Err())
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWebSocketsPassThrough(t *testing.T) {
	url, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Sec-WebSocket-Protocol"); got != "X-Daytona-Pty-Exit-Control,X-Daytona-SDK-Version~0.226.1" {
			t.Errorf("the client offers the subprotocols %q", got)
		}
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"X-Daytona-SDK-Version~0.226.1"}})
		if err != nil {
			t.Error(err)
			return
		}
		kind, text, err := c.Read(r.Context())
		if err == nil {
			err = c.Write(r.Context(), kind, []byte("echo "+string(text)))
		}
		if err != nil {
			t.Error(err)
		}
		_ = c.Close(4001, "done")
	})
	c, _, err := websocket.Dial(t.Context(), strings.Replace(url, "http", "ws", 1)+"/box/ws", &websocket.DialOptions{
		HTTPHeader:   http.Header{"Authorization": {"Bearer key"}},
		Subprotocols: []string{"X-Daytona-Pty-Exit-Control", "X-Daytona-SDK-Version~0.226.1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Subprotocol(); got != "X-Daytona-SDK-Version~0.226.1" {
		t.Errorf("the client is told the subprotocol %q", got)
	}
	if err := c.Write(t.Context(), websocket.MessageText, []byte("hi")); err != nil {
		t.Fatal(err)
	}
	if _, text, err := c.Read(t.Context()); err != nil || string(text) != "echo hi" {
		t.Errorf("got %q, %v", text, err)
	}
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != 4001 {
		t.Errorf("closed by %v", err)
	}
}

func TestAClientThatLeavesEndsTheWork(t *testing.T) {
	gone := make(chan struct{})
	url, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(gone)
	})
	do(t, "GET", url+"/box/slow", "key", nil).Body.Close()
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("the agent goes on working")
	}
}

// A refusal leaves the body of the request unread.
func TestARefusalKeepsTheConnection(t *testing.T) {
	url, _ := start(t, func(http.ResponseWriter, *http.Request) {})
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/toolbox"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for range 3 {
		if _, err := io.WriteString(conn, "POST /toolbox/stopped/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\nContent-Length: 5\r\n\r\nhello"); err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil || r.StatusCode != http.StatusConflict {
			t.Fatal(r.Status, err)
		}
		time.Sleep(20 * time.Millisecond) // for the server to drop it, if it does
	}
}
