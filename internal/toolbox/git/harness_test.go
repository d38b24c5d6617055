package git

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/launch/launchtest"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// sandbox is a user's home and working directory, and the routes.
type sandbox struct {
	t    *testing.T
	home string
	http http.Handler
	env  *launch.Environment
}

func newSandbox(t *testing.T, variables ...string) *sandbox {
	t.Helper()
	env := map[string]string{"PATH": os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM": "1"}
	for i := 0; i < len(variables); i += 2 {
		env[variables[i]] = variables[i+1]
	}
	l, home := launchtest.New(t, env)
	mux := http.NewServeMux()
	New(l).Register(mux)
	return &sandbox{t: t, home: home, http: mux, env: l.Env}
}

// in is the sandbox for a subtest.
func (s *sandbox) in(t *testing.T) *sandbox {
	own := *s
	own.t = t
	return &own
}

// give makes the user the owner of a tree.
func (s *sandbox) give(path string) {
	s.t.Helper()
	err := filepath.WalkDir(s.at(path), func(p string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(p, launchtest.UserID(), -1))
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// at is a path in the user's home.
func (s *sandbox) at(path ...string) string {
	return filepath.Join(append([]string{s.home}, path...)...)
}

type body map[string]any

func (s *sandbox) send(method, path string, b any) *httptest.ResponseRecorder {
	s.t.Helper()
	text, err := json.Marshal(b)
	if err != nil {
		s.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.http.ServeHTTP(w, httptest.NewRequestWithContext(s.t.Context(), method, path, bytes.NewReader(text)))
	return w
}

// do sends a request that must succeed, and returns the answer's body.
func (s *sandbox) do(method, path string, b any, status int) string {
	s.t.Helper()
	w := s.send(method, path, b)
	if w.Code != status {
		s.t.Fatalf("%s %s %v: %d %s", method, path, b, w.Code, w.Body)
	}
	return w.Body.String()
}

// fails sends a request that must fail so, and returns the message.
func (s *sandbox) fails(method, path string, b any, status int, code wire.Code) string {
	s.t.Helper()
	w := s.send(method, path, b)
	var e wire.Envelope
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil && w.Code != http.StatusOK {
		s.t.Fatalf("%s %s: %d %s: %v", method, path, w.Code, w.Body, err)
	}
	if w.Code != status || e.Code != code || e.StatusCode != status || e.Source != wire.Source {
		s.t.Errorf("%s %s %v: %d %s, want %d %s: %s", method, path, b, w.Code, e.Code, status, code, w.Body)
	}
	return e.Message
}

// get decodes the answer for a repository.
func get[T any](s *sandbox, route, path string) (v T) {
	s.t.Helper()
	text := s.do("GET", route+"?path="+url.QueryEscape(path), nil, http.StatusOK)
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		s.t.Fatalf("%s: %v in %s", route, err, text)
	}
	return v
}

type statusAnswer struct {
	head
	FileStatus []fileStatus `json:"fileStatus"`
}

func (s *sandbox) status(path string) statusAnswer {
	s.t.Helper()
	return get[statusAnswer](s, "/git/status", path)
}

// files is a status as lines "name staging worktree[ extra]", in no order.
func (s *sandbox) files(path string) map[string]string {
	s.t.Helper()
	all := map[string]string{}
	for _, f := range s.status(path).FileStatus {
		all[f.Name] = strings.TrimSpace(f.Staging + " " + f.Worktree + " " + f.Extra)
	}
	return all
}

func (s *sandbox) put(path, text string) {
	s.t.Helper()
	file := s.at(path)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	for f := file; f != s.home; f = filepath.Dir(f) {
		if err := os.Chown(f, launchtest.UserID(), -1); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *sandbox) read(path string) string {
	s.t.Helper()
	b, err := os.ReadFile(s.at(path))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// commit commits all that is in the repository.
func (s *sandbox) commit(path, message string) string {
	s.t.Helper()
	s.do("POST", "/git/add", body{"path": path, "files": []string{"."}}, http.StatusOK)
	var c struct{ Hash string }
	text := s.do("POST", "/git/commit", body{"path": path, "message": message, "author": "Ada", "email": "ada@example.com", "allow_empty": true}, http.StatusOK)
	if err := json.Unmarshal([]byte(text), &c); err != nil || len(c.Hash) != 40 {
		s.t.Fatalf("commit: %s: %v", text, err)
	}
	return c.Hash
}

// repo makes a repository with one commit of one file on main.
func (s *sandbox) repo(path string) string {
	s.t.Helper()
	s.do("POST", "/git/init", body{"path": path, "initial_branch": "main"}, http.StatusCreated)
	s.put(path+"/file", "one\n")
	s.commit(path, "first")
	return path
}

// testHome has the settings of git outside of sandboxes: by a file, which the
// oldest git reads too.
func testHome(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte("[safe]\ndirectory = *\n[user]\nname = T\nemail = t@example.com\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return home
}

func gitOutside(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "git", args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "HOME="+testHome(t), "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C")
	out, err := c.CombinedOutput()
	return strings.TrimSuffix(string(out), "\n"), err
}

// git runs git as this test, outside of any sandbox, and returns its output.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := gitOutside(t, dir, args...)
	if err != nil {
		t.Fatalf("git %q: %v: %s", args, err, out)
	}
	return out
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
