package git

import (
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opendaytona/daytona/internal/toolbox/launch/launchtest"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

func TestACloneHasTheDefaultBranchAndBelongsToTheUser(t *testing.T) {
	s, server := newSandbox(t), newGitServer(t, false)
	_, commits := server.fill("repo.git")
	s.do("POST", "/git/clone", body{"url": server.url("repo.git"), "path": "a/b/repo"}, http.StatusOK)
	equal(t, "file", s.read("a/b/repo/file"), "two\n")
	st := s.status("a/b/repo")
	equal(t, "status", st.head, head{CurrentBranch: "main", Upstream: "origin/main", BranchPublished: true})
	equal(t, "differences", len(st.FileStatus), 0)
	equal(t, "HEAD", git(t, s.at("a/b/repo"), "rev-parse", "HEAD"), commits["second"])
	equal(t, "branches", git(t, s.at("a/b/repo"), "for-each-ref", "--format=%(refname)"), "refs/heads/main\nrefs/remotes/origin/HEAD\nrefs/remotes/origin/main\nrefs/tags/v1")
	for _, path := range []string{"a", "a/b", "a/b/repo", "a/b/repo/file", "a/b/repo/.git/config"} {
		info, err := os.Stat(s.at(path))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "owner of "+path, int(info.Sys().(*syscall.Stat_t).Uid), launchtest.UserID())
	}
}

func TestACloneOfABranchATagOrACommit(t *testing.T) {
	s, server := newSandbox(t), newGitServer(t, false)
	_, commits := server.fill("repo.git")
	for name, c := range map[string]struct {
		ask          body
		commit, head string
	}{
		"branch":                             {body{"branch": "feature"}, "feature", "feature"},
		"tag":                                {body{"branch": "v1"}, "first", "HEAD"},
		"commit of the branch":               {body{"commit_id": commits["first"]}, "first", "HEAD"},
		"abbreviated":                        {body{"commit_id": commits["first"][:8]}, "first", "HEAD"},
		"in capitals":                        {body{"commit_id": strings.ToUpper(commits["first"])}, "first", "HEAD"},
		"commit of another branch":           {body{"commit_id": commits["feature"]}, "feature", "HEAD"},
		"abbreviated, of another branch":     {body{"commit_id": commits["feature"][:9]}, "feature", "HEAD"},
		"beyond the depth":                   {body{"commit_id": commits["first"], "depth": 1}, "first", "HEAD"},
		"abbreviated, beyond the depth":      {body{"commit_id": commits["first"][:9], "depth": 1}, "first", "HEAD"},
		"branch, and commit of it":           {body{"branch": "feature", "commit_id": commits["feature"]}, "feature", "HEAD"},
		"nothing but empty and null members": {body{"branch": "", "commit_id": nil, "depth": 0, "username": nil}, "second", "main"},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			path := strings.ReplaceAll(name, " ", "-")
			c.ask["url"], c.ask["path"] = server.url("repo.git"), path
			s.do("POST", "/git/clone", c.ask, http.StatusOK)
			equal(t, "HEAD", git(t, s.at(path), "rev-parse", "HEAD"), commits[c.commit])
			equal(t, "what was looked through", git(t, s.at(path), "for-each-ref", aside), "")
			st := s.status(path)
			equal(t, "branch", st.CurrentBranch, c.head)
			equal(t, "detached", st.Detached, c.head == "HEAD")
			equal(t, "differences", len(st.FileStatus), 0)
		})
	}
}

func TestAShallowCloneHasAsManyCommitsAsAsked(t *testing.T) {
	s, server := newSandbox(t), newGitServer(t, false)
	dir, _ := server.fill("repo.git")
	s.do("POST", "/git/clone", body{"url": server.url("repo.git"), "path": "r", "depth": 1}, http.StatusOK)
	equal(t, "commits", len(get[[]commitInfo](s, "/git/history", "r")), 1)
	git(t, s.home, "clone", "-q", "--bare", dir, s.at("local.git"))
	s.give("local.git")
	for i, from := range []string{"./local.git", "~/local.git", s.at("local.git"), "file://" + s.at("local.git")} {
		path := string(rune('a' + i))
		s.do("POST", "/git/clone", body{"url": from, "path": path, "depth": 1}, http.StatusOK)
		equal(t, "commits from "+from, len(get[[]commitInfo](s, "/git/history", path)), 1)
	}
}

func TestAnEmptyRepositoryAndADetachedHeadCanBeCloned(t *testing.T) {
	s, server := newSandbox(t), newGitServer(t, false)
	server.bare("empty.git")
	s.do("POST", "/git/clone", body{"url": server.url("empty.git"), "path": "empty"}, http.StatusOK)
	equal(t, "branch", s.status("empty").CurrentBranch, "main")
	equal(t, "history", len(get[[]commitInfo](s, "/git/history", "empty")), 0)
	s.put("empty/file", "x")
	s.commit("empty", "first")
	s.do("POST", "/git/push", body{"path": "empty"}, http.StatusOK)

	dir, commits := server.fill("detached.git")
	git(t, dir, "update-ref", "--no-deref", "HEAD", commits["first"])
	s.do("POST", "/git/clone", body{"url": server.url("detached.git"), "path": "detached"}, http.StatusOK)
	st := s.status("detached")
	if !st.Detached || st.CurrentBranch != "HEAD" || st.BranchPublished || s.read("detached/file") != "one\n" {
		t.Errorf("%+v", st)
	}
}

func TestSubmodulesAndLFSPointersStayWhatTheyAre(t *testing.T) {
	s, server := newSandbox(t), newGitServer(t, false)
	inner, _ := server.fill("inner.git")
	outer := server.bare("outer.git")
	work := t.TempDir()
	git(t, work, "clone", "-q", outer, ".")
	git(t, work, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", inner, "sub")
	pointer := "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
	for name, text := range map[string]string{"big.bin": pointer, ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git(t, work, "add", "-A")
	git(t, work, "commit", "-q", "-m", "all")
	git(t, work, "push", "-q", "origin", "HEAD:main")
	s.do("POST", "/git/clone", body{"url": server.url("outer.git"), "path": "outer"}, http.StatusOK)
	equal(t, "pointer", s.read("outer/big.bin"), pointer)
	if entries, err := os.ReadDir(s.at("outer/sub")); err != nil || len(entries) != 0 {
		t.Errorf("submodule: %v, %v", entries, err)
	}
	equal(t, "differences", len(s.status("outer").FileStatus), 0)
}

func TestACloneSaysWhyItFailsAndLeavesNothing(t *testing.T) {
	s, server := newSandbox(t), newGitServer(t, false)
	server.fill("repo.git")
	server.fill("private.git")
	closed := newGitServer(t, false)
	closed.Close()
	tls := newGitServer(t, true)
	tls.fill("repo.git")
	s.put("full/file", "x")
	s.put("a-file", "x")
	s.repo("taken")
	for name, c := range map[string]struct {
		ask    body
		status int
		code   wire.Code
	}{
		"no repository":           {body{"url": server.url("none.git")}, 404, wire.GitRepoNotFound},
		"no local repository":     {body{"url": "/nowhere/at/all"}, 404, wire.GitRepoNotFound},
		"no branch":               {body{"url": server.url("repo.git"), "branch": "none"}, 404, wire.GitBranchNotFound},
		"no commit":               {body{"url": server.url("repo.git"), "commit_id": strings.Repeat("ab", 20)}, 404, wire.NotFound},
		"no abbreviated commit":   {body{"url": server.url("repo.git"), "commit_id": "abcdef0"}, 404, wire.NotFound},
		"no password":             {body{"url": server.url("private.git")}, 401, wire.GitAuthFailed},
		"half of the credentials": {body{"url": server.url("private.git"), "username": serverUser}, 401, wire.GitAuthFailed},
		"wrong password":          {body{"url": server.url("private.git"), "username": serverUser, "password": "wrong"}, 401, wire.GitAuthFailed},
		"forbidden":               {body{"url": server.url("forbidden.git")}, 403, wire.Forbidden},
		"nobody listens":          {body{"url": closed.url("repo.git")}, 502, wire.GitTransportFailed},
		"no such host":            {body{"url": "https://no-such-host.invalid/x.git"}, 502, wire.GitTransportFailed},
		"unknown certificate":     {body{"url": tls.url("repo.git")}, 502, wire.GitTransportFailed},
		"a full directory":        {body{"url": server.url("repo.git"), "path": "full"}, 409, wire.Conflict},
		"a file":                  {body{"url": server.url("repo.git"), "path": "a-file"}, 409, wire.Conflict},
		"a repository":            {body{"url": server.url("repo.git"), "path": "taken"}, 409, wire.Conflict},
		"not the user's":          {body{"url": server.url("repo.git"), "path": "/etc/clone"}, 403, wire.FileAccessDenied},
		"no url":                  {body{"url": ""}, 400, wire.BadRequest},
		"no path":                 {body{"url": server.url("repo.git"), "path": ""}, 400, wire.BadRequest},
		"a url of programs":       {body{"url": "ext::sh -c touch% /tmp/x"}, 400, wire.BadRequest},
		"an option as url":        {body{"url": "--upload-pack=touch /tmp/x"}, 400, wire.BadRequest},
		"an option as branch":     {body{"url": server.url("repo.git"), "branch": "--upload-pack=x"}, 400, wire.BadRequest},
		"negative depth":          {body{"url": server.url("repo.git"), "depth": -1}, 400, wire.BadRequest},
		"an expression as commit": {body{"url": server.url("repo.git"), "commit_id": "HEAD~1"}, 400, wire.BadRequest},
		"ssh with a password":     {credentials(body{"url": "git@localhost:x"}), 400, wire.BadRequest},
		"a line break in it":      {body{"url": server.url("private.git"), "username": "a", "password": "b\nhost=evil"}, 400, wire.BadRequest},
		"a body of another type":  {body{"url": 5}, 400, wire.InvalidRequestBody},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			if _, ok := c.ask["path"]; !ok {
				c.ask["path"] = "made/for/it"
			}
			said := s.fails("POST", "/git/clone", c.ask, c.status, c.code)
			t.Log(said)
			missing(t, s.at("made"))
		})
	}
	equal(t, "the file that was there", s.read("full/file"), "x")
	equal(t, "the repository that was there", s.read("taken/file"), "one\n")
	missing(t, "/etc/clone")
	// An empty directory that was there stays, and a parent that others use.
	s.put("used/other", "x")
	if err := os.Mkdir(s.at("bare-floor"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(s.at("bare-floor"), launchtest.UserID(), -1); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"used/x/y", "bare-floor"} {
		s.fails("POST", "/git/clone", body{"url": server.url("repo.git"), "commit_id": "abcdef0", "path": path}, 404, wire.NotFound)
	}
	missing(t, s.at("used/x"))
	equal(t, "what others use", s.read("used/other"), "x")
	if entries, err := os.ReadDir(s.at("bare-floor")); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestTLSIsVerifiedUnlessAsked(t *testing.T) {
	server := newGitServer(t, true)
	server.fill("repo.git")
	s := newSandbox(t)
	s.do("POST", "/git/clone", body{"url": server.url("repo.git"), "path": "r", "insecure_skip_tls": true}, http.StatusOK)
	// It was for that call alone.
	s.fails("POST", "/git/pull", body{"path": "r"}, 502, wire.GitTransportFailed)
	s.fails("POST", "/git/push", body{"path": "r"}, 502, wire.GitTransportFailed)

	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	trusting := newSandbox(t, "GIT_SSL_CAINFO", ca)
	for d := filepath.Dir(ca); d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	trusting.do("POST", "/git/clone", body{"url": server.url("repo.git"), "path": "r"}, http.StatusOK)
	trusting.do("POST", "/git/pull", body{"path": "r"}, http.StatusOK)
}
