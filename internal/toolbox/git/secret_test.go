package git

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

func TestPrivateRepositoriesAreClonedPulledAndPushedWithAPassword(t *testing.T) {
	s, server := newSandbox(t), newGitServer(t, false)
	dir, _ := server.fill("private.git")
	s.do("POST", "/git/clone", credentials(body{"url": server.url("private.git"), "path": "r"}), http.StatusOK)
	want := server.advance(dir, "main", "new", "x\n")
	s.do("POST", "/git/pull", credentials(body{"path": "r"}), http.StatusOK)
	equal(t, "HEAD", git(t, s.at("r"), "rev-parse", "HEAD"), want)
	s.put("r/mine", "x")
	mine := s.commit("r", "mine")
	s.fails("POST", "/git/push", body{"path": "r"}, 401, wire.GitAuthFailed)
	s.fails("POST", "/git/pull", body{"path": "r"}, 401, wire.GitAuthFailed)
	s.do("POST", "/git/push", credentials(body{"path": "r"}), http.StatusOK)
	equal(t, "main of the server", git(t, dir, "rev-parse", "main"), mine)
	s.leavesNoTrace()
}

func TestAPasswordInTheURLIsForTheCallAndNotKept(t *testing.T) {
	s, server := newSandbox(t), newGitServer(t, false)
	server.fill("private.git")
	with := "http://" + url.UserPassword(serverUser, serverPassword).String() + "@" + strings.TrimPrefix(server.url("private.git"), "http://")
	s.do("POST", "/git/clone", body{"url": with, "path": "r"}, http.StatusOK)
	equal(t, "remotes", get[map[string][]remote](s, "/git/remotes", "r")["remotes"][0], remote{"origin", strings.Replace(server.url("private.git"), "://", "://"+serverUser+"@", 1)})
	s.leavesNoTrace()
	// The request's own go before those of the URL.
	s.do("POST", "/git/clone", credentials(body{"url": strings.Replace(server.url("private.git"), "://", "://a:b@", 1), "path": "q"}), http.StatusOK)
}

// leavesNoTrace looks for the password in every file of the sandbox.
func (s *sandbox) leavesNoTrace() {
	s.t.Helper()
	err := filepath.WalkDir(s.home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, form := range secretForms() {
			if bytes.Contains(text, []byte(form)) {
				s.t.Errorf("%s holds the password", path)
			}
		}
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
}

func secretForms() []string {
	return []string{
		serverPassword, url.QueryEscape(serverPassword), url.PathEscape(serverPassword), url.UserPassword("", serverPassword).String(),
		base64.StdEncoding.EncodeToString([]byte(serverUser + ":" + serverPassword)),
	}
}

func TestNoProcessShowsThePassword(t *testing.T) {
	s, server := newSandbox(t), newGitServer(t, false)
	trace := s.at("trace")
	if err := s.env.Update(map[string]string{"GIT_TRACE": trace, "GIT_TRACE_CURL": trace, "GIT_TRACE2": trace, "GIT_TRACE_REDACT": "0"}, nil, ""); err != nil {
		t.Fatal(err)
	}
	server.fill("private.git")
	// A helper of the user's would keep what it gets.
	for _, key := range []string{"credential.helper", "credential." + server.URL + ".helper", "credential." + server.url("private.git") + ".helper"} {
		s.do("POST", "/git/config", body{"key": key, "value": "store"}, http.StatusOK)
	}
	server.slow = make(chan struct{})
	cloned := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		cloned <- s.send("POST", "/git/clone", credentials(body{"url": server.url("private.git"), "path": "r"}))
	}()
	<-server.waiting // the password was told
	looked := 0
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range all {
		if dir == fmt.Sprintf("/proc/%d", os.Getpid()) {
			continue // it is the server too
		}
		for _, name := range []string{"cmdline", "environ"} {
			text, _ := os.ReadFile(filepath.Join(dir, name)) // it may end meanwhile
			if bytes.Contains(text, []byte(server.URL)) {
				looked++
			}
			for _, form := range append(secretForms(), serverUser) {
				if bytes.Contains(text, []byte(form)) {
					t.Errorf("%s/%s holds %q: %q", dir, name, form, text)
				}
			}
		}
	}
	if looked == 0 {
		t.Error("no git was seen at work")
	}
	close(server.slow)
	if w := <-cloned; w.Code != http.StatusOK {
		t.Error(w.Body)
	}
	s.leavesNoTrace()
	missing(t, trace)
	missing(t, s.at(".git-credentials"))
}

// A redirect to another server must not bring it the password.
func TestAnotherServerDoesNotGetThePassword(t *testing.T) {
	s, good, evil := newSandbox(t), newGitServer(t, false), newGitServer(t, false)
	evil.fill("private.git")
	good.fill("private.git")
	good.target = evil.URL
	s.fails("POST", "/git/clone", credentials(body{"url": good.URL + "/moved/private.git", "path": "r"}), 401, wire.GitAuthFailed)
	equal(t, "passwords that the other server got", evil.asked.Load(), 0)
	missing(t, s.at("r"))
	// One within the server is followed.
	good.target = good.URL
	s.do("POST", "/git/clone", credentials(body{"url": good.URL + "/moved/private.git", "path": "r"}), http.StatusOK)
}

func TestOriginsOfPasswords(t *testing.T) {
	for _, c := range []struct {
		from, to string
		covers   bool
	}{
		{"https://a", "https://a", true},
		{"https://a", "https://A:443", true},
		{"http://a", "https://a", true},
		{"http://a:80", "https://a:443", true},
		{"https://a", "http://a", false},
		{"https://a", "https://b", false},
		{"https://a", "https://a:8443", false},
		{"http://a:8080", "https://a:8080", false},
		{"https://a", "https://x@a", false},
		{"https://a", "https://a/b", false},
		{"https://a", "ftp://a", false},
		{"https://a", "://", false},
		{"https://[::1]:8443", "https://[::1]:8443", true},
	} {
		protocol, host, _ := strings.Cut(c.to, "://")
		if got := serverOf(c.from).covers(newOrigin(protocol, host)); got != c.covers {
			t.Errorf("%s to %s: %v", c.from, c.to, got)
		}
	}
}

func TestTheAgentAnswersGitOnlyForTheServer(t *testing.T) {
	secret := &secret{"u", "p", serverOf("https://host")}
	for question, want := range map[string]string{
		"protocol=https\nhost=host\n\n":                                             "username=u\npassword=p\n\n",
		"capability[]=authtype\nprotocol=https\nhost=host\nwwwauth[]=Basic x=y\n\n": "username=u\npassword=p\n\n",
		"protocol=https\nhost=other\n\n":                                            "\n",
		"protocol=https\nhost=host\n\nprotocol=https\n\n":                           "username=u\npassword=p\n\n\n",
		"nonsense\n\n":                  "\n",
		"protocol=https\nhost=host":     "",
		strings.Repeat("x", 1<<20):      "",
		"\n\nhost=host\n\x00\xff\n\n":   "\n\n\n",
		"host=host\nprotocol=https\n\n": "username=u\npassword=p\n\n",
	} {
		conn := &conversation{in: strings.NewReader(question)}
		secret.serve(conn)
		if conn.out.String() != want {
			t.Errorf("%.80q: %q", question, conn.out.String())
		}
	}
}

type conversation struct {
	in  *strings.Reader
	out bytes.Buffer
}

func (c *conversation) Read(p []byte) (int, error)  { return c.in.Read(p) }
func (c *conversation) Write(p []byte) (int, error) { return c.out.Write(p) }

func TestMessagesHaveStarsInPlaceOfSecrets(t *testing.T) {
	secret := &secret{user: "git", password: "a b", server: serverOf("https://h")}
	got := secret.mask("digits for https://git:a%20b@h/git.git: a b, a+b, git")
	equal(t, "masked", got, "digits for https://***:***@h/***.***: ***, ***, ***")
}

func TestStoredCredentialsWorkUntilARequestHasItsOwn(t *testing.T) {
	s, server := newSandbox(t), newGitServer(t, false)
	server.fill("private.git")
	host := strings.TrimPrefix(server.URL, "http://")
	s.do("POST", "/git/config", body{"key": "credential.helper", "value": "cache --timeout=1"}, http.StatusOK)
	for range 2 {
		s.do("POST", "/git/credentials", body{"username": serverUser, "password": serverPassword, "host": host, "protocol": "http"}, http.StatusOK)
	}
	equal(t, "helpers", git(t, s.home, "config", "-f", s.at(".gitconfig"), "--get-all", "credential.helper"), "cache --timeout=1\nstore")
	equal(t, "stored", s.read(".git-credentials"), "http://"+serverUser+":p%25ss%20w%2fo%3drd%27%22%5c%24%28x%29%c3%a9@"+strings.Replace(host, ":", "%3a", 1)+"\n")
	info, err := os.Stat(s.at(".git-credentials"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	s.do("POST", "/git/config", body{"key": "credential.helper", "value": "store"}, http.StatusOK)
	s.do("POST", "/git/clone", body{"url": server.url("private.git"), "path": "r"}, http.StatusOK)
	s.fails("POST", "/git/pull", body{"path": "r", "username": "other", "password": "wrong"}, 401, wire.GitAuthFailed)
	s.do("POST", "/git/pull", body{"path": "r"}, http.StatusOK)
	for _, b := range []body{
		{"username": "", "password": "x"},
		{"username": "x", "password": ""},
		{"username": "x", "password": "a\nb"},
		{"username": "x", "password": "y", "host": "https://github.com"},
		{"username": "x", "password": "y", "protocol": "a b"},
	} {
		s.fails("POST", "/git/credentials", b, 400, wire.BadRequest)
	}
}

func TestADifferentPasswordInTheRemoteIsRefused(t *testing.T) {
	s, server := newSandbox(t), newGitServer(t, false)
	server.fill("private.git")
	s.repo("r")
	said := s.fails("POST", "/git/remotes", body{"path": "r", "name": "origin", "url": "http://a:geheim@host/x"}, 400, wire.BadRequest)
	if strings.Contains(said, "geheim") {
		t.Error(said)
	}
	git(t, s.at("r"), "config", "remote.origin.url", strings.Replace(server.url("private.git"), "://", "://a:geheim@", 1))
	s.fails("POST", "/git/push", credentials(body{"path": "r"}), 400, wire.BadRequest)
	said = s.fails("POST", "/git/push", body{"path": "r"}, 401, wire.GitAuthFailed)
	if strings.Contains(said, "geheim") {
		t.Error(said)
	}
}

// A client that goes away ends git and all that it has started, and what the call
// has made by then.
func TestACancelledCloneLeavesNeitherProcessesNorFiles(t *testing.T) {
	s, server := newSandbox(t), newGitServer(t, false)
	server.fill("private.git")
	server.slow = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	text, err := json.Marshal(credentials(body{"url": server.url("private.git"), "path": "a/b"}))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.http.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "POST", "/git/clone", bytes.NewReader(text)))
	}()
	<-server.waiting
	if !s.runs() {
		t.Error("no process was seen at work")
	}
	cancel()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("the clone goes on")
	}
	equal(t, "status", w.Code, http.StatusRequestTimeout)
	if s.runs() {
		t.Error("a process is left")
	}
	missing(t, s.at("a"))
	close(server.slow)
	s.do("POST", "/git/clone", credentials(body{"url": server.url("private.git"), "path": "a/b"}), http.StatusOK)
}

// runs tells whether a process has the sandbox's home in its environment.
func (s *sandbox) runs() bool {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		if text, _ := os.ReadFile(dir + "/environ"); bytes.Contains(text, []byte("HOME="+s.home+"\x00")) {
			if stat, _ := os.ReadFile(dir + "/stat"); !bytes.Contains(stat, []byte(") Z ")) {
				return true
			}
		}
	}
	return false
}
