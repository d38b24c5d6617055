package git

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

func TestPushSendsOneBranch(t *testing.T) {
	s, server := newSandbox(t), newGitServer(t, false)
	dir, commits := server.fill("r.git")
	s.do("POST", "/git/clone", body{"url": server.url("r.git"), "path": "r"}, http.StatusOK)
	s.do("POST", "/git/push", body{"path": "r"}, http.StatusOK) // nothing new
	s.do("POST", "/git/branches", body{"path": "r", "name": "mine"}, http.StatusCreated)
	s.put("r/mine", "x")
	mine := s.commit("r", "mine")
	git(t, s.at("r"), "tag", "-a", "-m", "x", "local-tag")
	s.do("POST", "/git/push", body{"path": "r"}, http.StatusOK)
	equal(t, "branch of the server", git(t, dir, "rev-parse", "mine"), mine)
	equal(t, "tags of the server", git(t, dir, "tag"), "v1")
	equal(t, "upstream", s.status("r").Upstream, "")
	s.do("POST", "/git/push", body{"path": "r", "set_upstream": true}, http.StatusOK)
	equal(t, "upstream", s.status("r").head, head{CurrentBranch: "mine", Upstream: "origin/mine", BranchPublished: true})
	// Another branch than the current one, to another remote.
	other := server.bare("other.git")
	s.do("POST", "/git/remotes", body{"path": "r", "name": "other", "url": server.url("other.git")}, http.StatusCreated)
	s.do("POST", "/git/push", body{"path": "r", "remote": "other", "branch": "main"}, http.StatusOK)
	equal(t, "main of the other", git(t, other, "rev-parse", "main"), commits["second"])

	s.fails("POST", "/git/push", body{"path": "r", "branch": "none"}, 404, wire.NotFound)
	s.fails("POST", "/git/push", body{"path": "r", "remote": "none"}, 404, wire.NotFound)
	s.fails("POST", "/git/push", body{"path": "r", "remote": server.url("other.git")}, 404, wire.NotFound)
	s.fails("POST", "/git/push", body{"path": "r", "branch": "-f"}, 400, wire.BadRequest)
	s.fails("POST", "/git/push", body{"path": "r", "remote": "--mirror"}, 400, wire.BadRequest)
	s.fails("POST", "/git/push", body{"path": "none"}, 404, wire.GitRepoNotFound)
	s.do("POST", "/git/checkout", body{"path": "r", "branch": mine}, http.StatusOK)
	s.fails("POST", "/git/push", body{"path": "r"}, 404, wire.NotFound)
	s.do("POST", "/git/push", body{"path": "r", "branch": "main"}, http.StatusOK)
}

func TestAPushThatIsRefusedSaysByWhom(t *testing.T) {
	s, server := newSandbox(t), newGitServer(t, false)
	dir, _ := server.fill("r.git")
	s.do("POST", "/git/clone", body{"url": server.url("r.git"), "path": "r"}, http.StatusOK)
	before := server.advance(dir, "main", "theirs", "x")
	s.put("r/mine", "x")
	s.commit("r", "mine")
	s.fails("POST", "/git/push", body{"path": "r"}, 409, wire.GitPushRejected)
	equal(t, "main of the server", git(t, dir, "rev-parse", "main"), before)
	s.do("POST", "/git/branches", body{"path": "r", "name": "b"}, http.StatusCreated)
	for hook, script := range map[string]string{
		"pre-receive": "echo 'Authentication failed: repository not found, 50% of a quota' >&2; exit 1\n",
		"update":      "echo 'GH006: Protected branch update failed' >&2; exit 1\n",
	} {
		server.hook(dir, hook, script)
		said := s.fails("POST", "/git/push", body{"path": "r"}, 422, wire.GitRemoteRejected)
		if words := strings.Split(script, "'")[1]; !strings.Contains(said, words) {
			t.Errorf("%q is not in %q", words, said)
		}
		if err := os.Remove(dir + "/hooks/" + hook); err != nil {
			t.Fatal(err)
		}
	}
	s.do("POST", "/git/remotes", body{"path": "r", "name": "forbidden", "url": server.url("forbidden.git")}, http.StatusCreated)
	s.fails("POST", "/git/push", body{"path": "r", "remote": "forbidden"}, 403, wire.Forbidden)
	server.Close()
	s.fails("POST", "/git/push", body{"path": "r"}, 502, wire.GitTransportFailed)
}

func TestPullMovesForwardOnly(t *testing.T) {
	s, server := newSandbox(t), newGitServer(t, false)
	dir, commits := server.fill("r.git")
	s.do("POST", "/git/clone", body{"url": server.url("r.git"), "path": "r"}, http.StatusOK)
	s.do("POST", "/git/config", body{"key": "pull.rebase", "value": "true"}, http.StatusOK)
	at := func() string { return git(t, s.at("r"), "rev-parse", "HEAD") }
	s.do("POST", "/git/pull", body{"path": "r"}, http.StatusOK)
	equal(t, "nothing new", at(), commits["second"])
	next := server.advance(dir, "main", "file", "three\n")
	s.put("r/file", "in the way\n")
	s.fails("POST", "/git/pull", body{"path": "r"}, 409, wire.GitDirtyWorktree)
	equal(t, "dirty", at(), commits["second"])
	s.do("POST", "/git/restore", body{"path": "r", "files": []string{"file"}}, http.StatusOK)
	s.do("POST", "/git/pull", body{"path": "r"}, http.StatusOK)
	equal(t, "forward", at(), next)
	equal(t, "status", s.status("r").head, head{CurrentBranch: "main", Upstream: "origin/main", BranchPublished: true})
	next = server.advance(dir, "main", "untracked", "x")
	s.put("r/untracked", "mine")
	s.fails("POST", "/git/pull", body{"path": "r"}, 409, wire.GitDirtyWorktree)
	equal(t, "untracked", s.read("r/untracked"), "mine")
	s.commit("r", "mine")
	mine := at()
	s.fails("POST", "/git/pull", body{"path": "r"}, 409, wire.GitMergeConflict)
	equal(t, "diverged", at(), mine)
	s.do("POST", "/git/reset", body{"path": "r", "mode": "hard", "target": "origin/main"}, http.StatusOK)
	equal(t, "reset", at(), next)

	// A branch of another name by the upstream, and one by the request.
	s.do("POST", "/git/checkout", body{"path": "r", "branch": commits["first"]}, http.StatusOK)
	s.do("POST", "/git/branches", body{"path": "r", "name": "local"}, http.StatusCreated)
	s.fails("POST", "/git/pull", body{"path": "r"}, 404, wire.GitBranchNotFound)
	s.do("POST", "/git/pull", body{"path": "r", "branch": "feature", "remote": "origin"}, http.StatusOK)
	equal(t, "feature", at(), commits["feature"])
	git(t, s.at("r"), "reset", "-q", "--hard", commits["first"])
	s.do("POST", "/git/config", body{"key": "branch.local.remote", "value": "origin", "scope": "local", "path": "r"}, http.StatusOK)
	s.do("POST", "/git/config", body{"key": "branch.local.merge", "value": "refs/heads/main", "scope": "local", "path": "r"}, http.StatusOK)
	s.give("r")
	s.do("POST", "/git/pull", body{"path": "r"}, http.StatusOK)
	equal(t, "by the upstream", at(), next)
	s.do("POST", "/git/checkout", body{"path": "r", "branch": commits["first"]}, http.StatusOK)
	s.fails("POST", "/git/pull", body{"path": "r"}, 404, wire.NotFound)
	s.do("POST", "/git/pull", body{"path": "r", "branch": "main"}, http.StatusOK)
	equal(t, "detached", at(), next)

	s.do("POST", "/git/init", body{"path": "new", "initial_branch": "main"}, http.StatusCreated)
	s.do("POST", "/git/remotes", body{"path": "new", "name": "origin", "url": server.url("r.git")}, http.StatusCreated)
	s.do("POST", "/git/pull", body{"path": "new"}, http.StatusOK)
	equal(t, "into an empty repository", s.read("new/file"), "three\n")
	s.do("POST", "/git/pull", body{"path": "new"}, http.StatusOK)
	server.bare("empty.git")
	s.do("POST", "/git/remotes", body{"path": "new", "name": "empty", "url": server.url("empty.git")}, http.StatusCreated)
	s.fails("POST", "/git/pull", body{"path": "new", "remote": "empty"}, 404, wire.GitBranchNotFound)
	s.fails("POST", "/git/pull", body{"path": "new", "remote": "none"}, 404, wire.NotFound)
	for _, b := range []body{{"remote": "-x"}, {"branch": "-x"}, {"branch": "a\nb"}} {
		b["path"] = "r"
		s.fails("POST", "/git/pull", b, 400, wire.BadRequest)
	}
}

// A slow server keeps nobody from working in the repository meanwhile.
func TestWorkGoesOnWhileAPullWaits(t *testing.T) {
	s, server := newSandbox(t), newGitServer(t, false)
	dir, _ := server.fill("r.git")
	s.do("POST", "/git/clone", body{"url": server.url("r.git"), "path": "r"}, http.StatusOK)
	server.advance(dir, "main", "theirs", "x")
	server.slow = make(chan struct{})
	pulled := make(chan int)
	go func() { pulled <- s.send("POST", "/git/pull", body{"path": "r"}).Code }()
	<-server.waiting
	s.put("r/mine", "x")
	s.commit("r", "mine")
	close(server.slow)
	equal(t, "pull of what has diverged meanwhile", <-pulled, http.StatusConflict)
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]address{
		"https://github.com/a/b.git":          {url: "https://github.com/a/b.git"},
		" HTTPS://github.com/a ":              {url: "https://github.com/a"},
		"github.com/a/b":                      {url: "https://github.com/a/b"},
		"localhost:3000/a":                    {url: "https://localhost:3000/a"},
		"git@github.com:a/b.git":              {url: "git@github.com:a/b.git"},
		"host:a/b":                            {url: "host:a/b"},
		"ssh://git@host:22/a":                 {url: "ssh://git@host:22/a"},
		"https://u@host/a@b:c":                {url: "https://u@host/a@b:c"},
		"https://u:p@host/a":                  {url: "https://u@host/a", user: "u", password: "p"},
		"u:p@host/a":                          {url: "https://u@host/a", user: "u", password: "p"},
		"https://u%40x:p%3A%2f@host:8443/a?b": {url: "https://u%40x@host:8443/a?b", user: "u@x", password: "p:/"},
		"https://:p@host/a":                   {url: "https://host/a", password: "p"},
		"https://[::1]:8443/a":                {url: "https://[::1]:8443/a"},
		"/srv/a:b":                            {url: "/srv/a:b", local: true},
		"./a":                                 {url: "./a", local: true},
		"~/a":                                 {url: "~/a", local: true},
		"file:///srv/a":                       {url: "file:///srv/a", local: true},
	} {
		got, err := parseAddress(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", " ", "-x", "--upload-pack=x", "ext::sh -c id", "fd::7", "a::b", "https://", "https:///a", "https://a b/c", "ftp://host/a", "javascript://x", "https://h/a\nb",
		"ssh://u:p@host/a", "https://u:%zz@host", "https://u:p%@host/", "https://host:port/a", "\x00",
	} {
		if got, err := parseAddress(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func FuzzAddressesKeepPasswordsToThemselves(f *testing.F) {
	for _, text := range []string{"https://u:p@h/a", "u:p@h/a", "a@b:c", "https://u:p@h@i/x", "ssh://h", "https://u:p:q@[::1]:1/?#@", "x::y", "~/a", "/a"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseAddress(text)
		if err != nil {
			return
		}
		if strings.HasPrefix(a.url, "-") || controls().MatchString(a.url) || helperTransport().MatchString(a.url) {
			t.Errorf("%q is given to git as %q", text, a.url)
		}
		if again, err := parseAddress(a.url); err != nil || again.url != a.url || again.password != "" {
			t.Errorf("%q is %+v, and that is %+v, %v", text, a, again, err)
		}
	})
}
