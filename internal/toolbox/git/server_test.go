package git

import (
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

const (
	serverUser     = "octo-user"
	serverPassword = "p%ss w/o=rd'\"\\$(x)é"
)

// gitServer serves bare repositories by git's own http-backend. Those whose name
// begins with "private" want the password.
type gitServer struct {
	*httptest.Server
	t    *testing.T
	root string

	slow    chan struct{} // unless nil, packs wait until it is closed
	waiting chan struct{} // gets a value when one does
	target  string        // where /moved/ leads
	asked   atomic.Int64  // with credentials
}

func newGitServer(t *testing.T, tls bool) *gitServer {
	t.Helper()
	s := &gitServer{t: t, root: t.TempDir(), waiting: make(chan struct{}, 10)}
	if tls {
		s.Server = httptest.NewTLSServer(s)
	} else {
		s.Server = httptest.NewServer(s)
	}
	t.Cleanup(s.Close)
	return s
}

func (s *gitServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if rest, ok := strings.CutPrefix(r.URL.Path, "/moved/"); ok {
		http.Redirect(w, r, s.target+"/"+rest+"?"+r.URL.RawQuery, http.StatusFound)
		return
	}
	user, password, has := r.BasicAuth()
	if has {
		s.asked.Add(1)
	}
	if strings.HasPrefix(r.URL.Path, "/private") && (user != serverUser || password != serverPassword) {
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "a password is needed", http.StatusUnauthorized)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/forbidden") {
		http.Error(w, "not for you", http.StatusForbidden)
		return
	}
	if s.slow != nil && strings.HasSuffix(r.URL.Path, "/git-upload-pack") {
		s.waiting <- struct{}{}
		select {
		case <-s.slow:
		case <-r.Context().Done():
			return
		}
	}
	execPath, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := cgi.Handler{
		Path:   filepath.Join(strings.TrimSpace(string(execPath)), "git-http-backend"),
		Env:    []string{"GIT_PROJECT_ROOT=" + s.root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=" + user, "GIT_CONFIG_NOSYSTEM=1", "HOME=" + s.root},
		Stderr: s.t.Output(),
	}
	h.ServeHTTP(w, r)
}

// url of a repository.
func (s *gitServer) url(name string) string { return s.URL + "/" + name }

// bare makes an empty repository that takes pushes.
func (s *gitServer) bare(name string) string {
	s.t.Helper()
	dir := filepath.Join(s.root, name)
	git(s.t, s.root, "init", "-q", "--bare", "-b", "main", dir)
	git(s.t, dir, "config", "http.receivepack", "true")
	return dir
}

// fill makes a repository with two commits on main, one on the branch feature,
// and a tag.
func (s *gitServer) fill(name string) (dir string, commits map[string]string) {
	s.t.Helper()
	dir = s.bare(name)
	work := s.t.TempDir()
	git(s.t, work, "init", "-q", "-b", "main")
	commits = map[string]string{}
	commit := func(name, file, text string) {
		if err := os.WriteFile(filepath.Join(work, file), []byte(text), 0o644); err != nil {
			s.t.Fatal(err)
		}
		git(s.t, work, "add", "-A")
		git(s.t, work, "commit", "-q", "-m", name)
		commits[name] = git(s.t, work, "rev-parse", "HEAD")
	}
	commit("first", "file", "one\n")
	git(s.t, work, "tag", "v1")
	git(s.t, work, "checkout", "-q", "-b", "feature")
	commit("feature", "feature", "a feature\n")
	git(s.t, work, "checkout", "-q", "main")
	commit("second", "file", "two\n")
	git(s.t, work, "push", "-q", dir, "main", "feature", "v1")
	return dir, commits
}

// advance adds a commit to a branch of a served repository.
func (s *gitServer) advance(dir, branch, file, text string) string {
	s.t.Helper()
	work := s.t.TempDir()
	git(s.t, work, "clone", "-q", "-b", branch, dir, ".")
	if err := os.WriteFile(filepath.Join(work, file), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	git(s.t, work, "add", "-A")
	git(s.t, work, "commit", "-q", "-m", "advance "+file)
	git(s.t, work, "push", "-q", "origin", branch)
	return git(s.t, work, "rev-parse", "HEAD")
}

func (s *gitServer) hook(dir, name, script string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "hooks", name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

// credentials are the right ones.
func credentials(b body) body {
	b["username"], b["password"] = serverUser, serverPassword
	return b
}

func missing(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); err == nil {
		t.Errorf("%s is there", path)
	} else if !os.IsNotExist(err) {
		t.Error(err)
	}
}
