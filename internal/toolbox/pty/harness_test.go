package pty

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/opendaytona/daytona/internal/toolbox/launch/launchtest"
	"github.com/opendaytona/daytona/internal/toolbox/upgrade"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// sandbox is a user's home and working directory, and the routes.
type sandbox struct {
	t       *testing.T
	home    string
	url     string
	service *Service
}

// newSandbox has a prompt of "$ " and nothing else that a machine's shells say.
func newSandbox(t *testing.T) *sandbox {
	t.Helper()
	l, home := launchtest.New(t, map[string]string{"PATH": os.Getenv("PATH"), "LANG": "C.UTF-8"})
	profile := filepath.Join(home, ".bash_profile")
	if err := os.WriteFile(profile, []byte("PS1='$ '; bind 'set enable-bracketed-paste off'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := &sandbox{t: t, home: home, service: New(l)}
	mux := http.NewServeMux()
	s.service.Register(mux)
	web := httptest.NewServer(mux)
	s.url = web.URL + "/process/pty"
	t.Cleanup(func() {
		s.service.mu.Lock()
		left := s.service.terminals
		s.service.mu.Unlock()
		for id := range left {
			s.call("DELETE", "/"+id, nil)
		}
		web.Close()
	})
	return s
}

type body map[string]any

// call sends a request and returns the answer's status and body.
func (s *sandbox) call(method, path string, b any) (int, []byte) {
	s.t.Helper()
	var in io.Reader
	switch b := b.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		in = bytes.NewReader(text(b))
	}
	r, err := http.NewRequest(method, s.url+path, in)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, out
}

// do sends a request that must succeed, and decodes the answer.
func do[T any](s *sandbox, status int, method, path string, b any) (v T) {
	s.t.Helper()
	got, text := s.call(method, path, b)
	if got != status {
		s.t.Fatalf("%s %s %v: %d %s", method, path, b, got, text)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		s.t.Fatalf("%s %s: %v in %s", method, path, err, text)
	}
	return v
}

// fails sends a request that must fail so.
func (s *sandbox) fails(status int, code wire.Code, method, path string, b any) {
	s.t.Helper()
	got, text := s.call(method, path, b)
	var e wire.Envelope
	if err := json.Unmarshal(text, &e); err != nil || got != status || e.Code != code || e.Source != wire.Source {
		s.t.Errorf("%s %s %v: %d %s, want %d %s (%v)", method, path, b, got, text, status, code, err)
	}
}

func (s *sandbox) sessions() []info {
	s.t.Helper()
	return do[struct{ Sessions []info }](s, 200, "GET", "", nil).Sessions
}

// client is a viewer's end of a terminal.
type client struct {
	t    *testing.T
	conn *websocket.Conn
	ctx  context.Context

	mu     sync.Mutex
	all    []byte   // all output so far
	frames [][]byte // the same, message by message
	said   []string // text messages
	closed error
	news   chan struct{}
}

// open connects, without reading yet.
func (s *sandbox) open(path string, subprotocols ...string) *client {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	s.t.Cleanup(cancel)
	conn, _, err := websocket.Dial(ctx, s.url+path, &websocket.DialOptions{Subprotocols: subprotocols})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.CloseNow() })
	conn.SetReadLimit(-1)
	return &client{t: s.t, conn: conn, ctx: ctx, news: make(chan struct{}, 1)}
}

// connect connects to a terminal and reads.
func (s *sandbox) connect(id string) *client {
	s.t.Helper()
	c := s.open("/"+id+"/connect", upgrade.ExitControl)
	go c.read()
	return c
}

// create makes a terminal as the official SDKs do, and waits for its prompt.
func (s *sandbox) create(id string, envs map[string]string) *client {
	s.t.Helper()
	offered := []string{upgrade.ExitControl}
	if envs != nil {
		offered = append(offered, upgrade.Variables+base64.RawURLEncoding.EncodeToString(text(envs)))
	}
	c := s.open("/create-connect?cols=80&rows=24&id="+url.QueryEscape(id), offered...)
	go c.read()
	c.waits("$ ")
	return c
}

func (c *client) read() {
	for {
		kind, p, err := c.conn.Read(c.ctx)
		c.mu.Lock()
		switch {
		case err != nil:
			c.closed = err
		case kind == websocket.MessageText:
			c.said = append(c.said, string(p))
			if len(c.said) == 1 && len(c.frames) > 0 {
				c.t.Error("output comes before the first control message")
			}
		default:
			c.all = append(c.all, p...)
			c.frames = append(c.frames, p)
		}
		c.mu.Unlock()
		select {
		case c.news <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (c *client) types(text string) {
	c.t.Helper()
	if err := c.conn.Write(c.ctx, websocket.MessageBinary, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// until waits for a condition on what has come.
func (c *client) until(what string, ok func() bool) {
	c.t.Helper()
	patience := time.After(30 * time.Second)
	for {
		c.mu.Lock()
		done := ok()
		c.mu.Unlock()
		if done {
			return
		}
		select {
		case <-c.news:
		case <-patience:
			c.mu.Lock()
			defer c.mu.Unlock()
			c.t.Fatalf("no %s: %.2000q, messages %q, %v", what, c.all, c.said, c.closed)
		}
	}
}

func (c *client) waits(text string) {
	c.t.Helper()
	c.until(fmt.Sprintf("%q", text), func() bool { return bytes.Contains(c.all, []byte(text)) })
}

func (c *client) output() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.all)
}

// ends waits for the end, which must be with this code and reason.
func (c *client) ends(code int, reason string) {
	c.t.Helper()
	c.until("end", func() bool { return c.closed != nil })
	c.mu.Lock()
	defer c.mu.Unlock()
	want := exit{Code: code, Reason: reason}
	status := websocket.StatusNormalClosure
	if code != 0 {
		status = websocket.StatusInternalError
	}
	var closed websocket.CloseError
	if !errors.As(c.closed, &closed) || closed.Code != status || closed.Reason != string(text(want)) {
		c.t.Errorf("closed by %v, want %d %s", c.closed, status, text(want))
	}
	said := []string{`{"type":"control","status":"connected"}`, string(text(control{Type: "control", Status: "exited", exit: &want}))}
	if fmt.Sprint(c.said) != fmt.Sprint(said) {
		c.t.Errorf("messages %q, want %q", c.said, said)
	}
}
