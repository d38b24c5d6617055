package lsp

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/toolbox/launch/launchtest"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// sandbox is a user's home, which is the working directory too, and the routes.
type sandbox struct {
	t       *testing.T
	home    string
	service *Service
	http    http.Handler
}

// newSandbox makes one in which program, when it is not "", is what every server's
// name starts.
func newSandbox(t *testing.T, path, program string) *sandbox {
	t.Helper()
	if program != "" {
		dir := launchtest.Dir(t)
		path = dir + ":" + path
		for _, l := range languages {
			if err := os.WriteFile(filepath.Join(dir, l.argv[0]), []byte(program), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	l, home := launchtest.New(t, map[string]string{"PATH": path})
	s := &sandbox{t: t, home: home}
	s.service = New(l)
	mux := http.NewServeMux()
	s.service.Register(mux)
	s.http = mux
	t.Cleanup(func() {
		s.service.mu.Lock()
		defer s.service.mu.Unlock()
		for _, p := range s.service.projects {
			if one := p.last(); one != nil {
				one.close(errEnded)
				<-one.ended
			}
		}
	})
	return s
}

func (s *sandbox) at(path string) string { return filepath.Join(s.home, path) }

func (s *sandbox) mkdir(path string) {
	s.t.Helper()
	dir := s.home
	for _, part := range strings.Split(path, "/") {
		dir = filepath.Join(dir, part)
		if err := os.Mkdir(dir, 0o755); err == nil {
			if err := os.Chown(dir, launchtest.UserID(), -1); err != nil {
				s.t.Fatal(err)
			}
		} else if !os.IsExist(err) {
			s.t.Fatal(err)
		}
	}
}

func (s *sandbox) put(path, text string) {
	s.t.Helper()
	s.mkdir(filepath.Dir(path))
	if err := os.WriteFile(s.at(path), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chown(s.at(path), launchtest.UserID(), -1); err != nil {
		s.t.Fatal(err)
	}
}

type body map[string]any

func (s *sandbox) sendContext(ctx context.Context, method, path string, b body) *httptest.ResponseRecorder {
	s.t.Helper()
	text, err := json.Marshal(b)
	if err != nil {
		s.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.http.ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, path, bytes.NewReader(text)))
	return w
}

func (s *sandbox) send(method, path string, b body) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.sendContext(s.t.Context(), method, path, b)
}

// fails sends a request that must fail so, and returns the message.
func (s *sandbox) fails(method, path string, b body, status int, code wire.Code) string {
	s.t.Helper()
	w := s.send(method, path, b)
	var e wire.Envelope
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil && w.Code != http.StatusOK {
		s.t.Fatalf("%s %s: %d %s: %v", method, path, w.Code, w.Body, err)
	}
	if w.Code != status || e.Code != code || e.Source != wire.Source {
		s.t.Errorf("%s %s %v: %d %s, want %d %s: %s", method, path, b, w.Code, e.Code, status, code, w.Body)
	}
	return e.Message
}

// client is a language and a project.
type client struct {
	*sandbox
	language, project string
}

func (c client) body(more body) body {
	b := body{"languageId": c.language, "pathToProject": c.project}
	for name, value := range more {
		b[name] = value
	}
	return b
}

func (c client) query(more ...string) string {
	q := url.Values{"languageId": {c.language}, "pathToProject": {c.project}}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return "?" + q.Encode()
}

// do sends what must succeed.
func (c client) do(route string, more body) {
	c.t.Helper()
	if w := c.send("POST", "/lsp/"+route, c.body(more)); w.Code != http.StatusOK {
		c.t.Fatalf("%s %v: %d %s", route, more, w.Code, w.Body)
	}
}

func (c client) symbols(path string) []symbol {
	c.t.Helper()
	w := c.send("GET", path, nil)
	var all []symbol
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil || w.Code != http.StatusOK || all == nil {
		c.t.Fatalf("%s: %d %s: %v", path, w.Code, w.Body, err)
	}
	return all
}

func (c client) documentSymbols(uri string) []symbol {
	c.t.Helper()
	return c.symbols("/lsp/document-symbols" + c.query("uri", uri))
}

func (c client) workspaceSymbols(query string) []symbol {
	c.t.Helper()
	return c.symbols("/lsp/workspacesymbols" + c.query("query", query))
}

func (c client) completions(uri string, line, character int) completionList {
	c.t.Helper()
	w := c.send("POST", "/lsp/completions", c.body(body{"uri": uri, "position": position{int64(line), int64(character)}}))
	var list completionList
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || w.Code != http.StatusOK || list.Items == nil {
		c.t.Fatalf("completions of %s: %d %s: %v", uri, w.Code, w.Body, err)
	}
	return list
}

func names(symbols []symbol) string {
	var all []string
	for _, s := range symbols {
		all = append(all, s.Name)
	}
	return strings.Join(all, " ")
}

func labels(list completionList) string {
	var all []string
	for _, item := range list.Items {
		all = append(all, item.Label)
	}
	return strings.Join(all, " ")
}

// running is the process of the only server.
func (s *sandbox) running() *server {
	s.t.Helper()
	s.service.mu.Lock()
	defer s.service.mu.Unlock()
	for _, p := range s.service.projects {
		return p.last()
	}
	s.t.Fatal("no server was started")
	return nil
}

// isGone waits until a process has ended.
func isGone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err != nil {
			return
		}
	}
	t.Errorf("process %d still runs", pid)
}

// need is the directory of a program, without which the test cannot run.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed", program)
	}
	return filepath.Dir(path)
}
