package git

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

func TestStatusTellsEachSituation(t *testing.T) {
	s := newSandbox(t)
	s.repo("r")
	for _, name := range []string{"edited", "edited-added", "gone", "removed", "old name", "tüp", "type"} {
		s.put("r/"+name, strings.Repeat(name+"\n", 10))
	}
	s.put("r/.gitignore", "ignored\n")
	s.commit("r", "all")
	for _, name := range []string{"edited", "edited-added", "edited twice", "new", "dir/a b", "dir/\"c\"", "ignored", "tüp"} {
		s.put("r/"+name, "changed "+name)
	}
	s.do("POST", "/git/add", body{"path": "r", "files": []string{"edited-added", "edited twice"}}, http.StatusOK)
	s.put("r/edited twice", "again")
	git(t, s.at("r"), "rm", "-q", "removed")
	git(t, s.at("r"), "mv", "old name", "new name")
	for _, name := range []string{"gone", "type"} {
		if err := os.Remove(s.at("r", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("file", s.at("r/type")); err != nil {
		t.Fatal(err)
	}
	s.give("r")
	want := map[string]string{
		"edited":       "Unmodified Modified",
		"edited-added": "Modified Unmodified",
		"edited twice": "Added Modified",
		"new":          "Untracked Untracked",
		"dir/a b":      "Untracked Untracked",
		"dir/\"c\"":    "Untracked Untracked",
		"gone":         "Unmodified Deleted",
		"removed":      "Deleted Unmodified",
		"new name":     "Renamed Unmodified old name",
		"tüp":          "Unmodified Modified",
		"type":         "Unmodified Modified",
	}
	got := s.files("r")
	for name, w := range want {
		equal(t, name, got[name], w)
	}
	equal(t, "files", len(got), len(want))
}

func TestStatusOfBranches(t *testing.T) {
	s, server := newSandbox(t), newGitServer(t, false)
	dir, commits := server.fill("r.git")
	s.do("POST", "/git/init", body{"path": "new", "initial_branch": "trunk"}, http.StatusCreated)
	equal(t, "without a commit", s.status("new").head, head{CurrentBranch: "trunk"})
	if text := s.do("GET", "/git/status?path=new", nil, http.StatusOK); !strings.HasSuffix(text, `"fileStatus":[]}`+"\n") {
		t.Error(text)
	}

	s.do("POST", "/git/clone", body{"url": server.url("r.git"), "path": "r"}, http.StatusOK)
	server.advance(dir, "main", "a", "x")
	server.advance(dir, "main", "b", "x")
	s.put("r/mine", "x")
	s.commit("r", "mine")
	git(t, s.at("r"), "fetch", "-q")
	equal(t, "diverged", s.status("r").head, head{CurrentBranch: "main", Upstream: "origin/main", BranchPublished: true, Ahead: 1, Behind: 2})
	git(t, s.at("r"), "update-ref", "-d", "refs/remotes/origin/main")
	equal(t, "upstream is gone", s.status("r").head, head{CurrentBranch: "main", Upstream: "origin/main", BranchPublished: true})
	git(t, s.at("r"), "checkout", "-q", "-b", "(detached)")
	equal(t, "a branch of a strange name", s.status("r").head, head{CurrentBranch: "(detached)"})
	git(t, s.at("r"), "checkout", "-q", commits["first"])
	equal(t, "detached", s.status("r").head, head{CurrentBranch: "HEAD", Detached: true})
}

func TestConflictsAreTold(t *testing.T) {
	s := newSandbox(t)
	s.repo("r")
	s.do("POST", "/git/branches", body{"path": "r", "name": "other"}, http.StatusCreated)
	s.put("r/file", "theirs\n")
	s.commit("r", "theirs")
	s.do("POST", "/git/checkout", body{"path": "r", "branch": "main"}, http.StatusOK)
	s.put("r/file", "mine\n")
	s.commit("r", "mine")
	if out, err := gitOutside(t, s.at("r"), "merge", "other"); err == nil {
		t.Fatal(out)
	}
	s.give("r")
	equal(t, "file", s.files("r")["file"], "Updated but unmerged Updated but unmerged")
	s.fails("POST", "/git/commit", body{"path": "r", "message": "x", "author": "a", "email": "b"}, 409, wire.GitMergeConflict)
	s.fails("POST", "/git/checkout", body{"path": "r", "branch": "other"}, 409, wire.GitDirtyWorktree)
	s.fails("POST", "/git/reset", body{"path": "r", "mode": "soft"}, 409, wire.GitMergeConflict)
	// Added, it is solved, and the commit has both parents.
	s.put("r/file", "both\n")
	s.commit("r", "merged")
	equal(t, "parents", len(strings.Fields(git(t, s.at("r"), "rev-list", "--parents", "-1", "HEAD"))), 3)
}

func TestTenThousandFiles(t *testing.T) {
	s := newSandbox(t)
	s.repo("r")
	const count = 10_000
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("dir-%d/a file with quite a long name, so that its list is longer than what is in memory %d", i%100, i)
		if i < 100 {
			if err := os.Mkdir(s.at("r", filepath.Dir(names[i])), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(s.at("r", names[i]), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.give("r")
	equal(t, "untracked", len(s.files("r")), count)
	s.do("POST", "/git/add", body{"path": "r", "files": names}, http.StatusOK)
	got := s.files("r")
	equal(t, "files", len(got), count)
	equal(t, "one of them", got[names[count-1]], "Added Unmodified")
	s.commit("r", "many")
	s.do("POST", "/git/reset", body{"path": "r", "mode": "soft", "target": "HEAD~1"}, http.StatusOK)
	s.do("POST", "/git/reset", body{"path": "r", "files": names[:9000]}, http.StatusOK)
	equal(t, "in the index", strings.Count(git(t, s.at("r"), "ls-files"), "\n")+1, 1001)
}

func TestNamesThatAreNotUTF8GoBothWays(t *testing.T) {
	s := newSandbox(t)
	s.repo("r")
	strange := []string{"caf\xe9 \"x\\y\".txt", "\"\\303\\050\"", "\xff", "line\nbreak", "tab\t", " ", "-n", ":(glob)*", "*.txt"}
	for _, name := range strange {
		s.put("r/"+name, "x")
	}
	got := s.files("r")
	equal(t, "files", len(got), len(strange))
	equal(t, "as git quotes it", got[`"caf\351 \"x\\y\".txt"`], "Untracked Untracked")
	equal(t, "UTF-8 stays as it is", got["line\nbreak"], "Untracked Untracked")
	for name := range got {
		s.do("POST", "/git/add", body{"path": "r", "files": []string{name}}, http.StatusOK)
		equal(t, fmt.Sprintf("%q", name), s.files("r")[name], "Added Unmodified")
		s.do("POST", "/git/restore", body{"path": "r", "files": []string{name}, "staged": true}, http.StatusOK)
		equal(t, fmt.Sprintf("%q", name), s.files("r")[name], "Untracked Untracked")
	}
	git(t, s.at("r"), "branch", "b\xe9")
	s.give("r")
	s.do("POST", "/git/checkout", body{"path": "r", "branch": `"b\351"`}, http.StatusOK)
	equal(t, "branch", s.status("r").CurrentBranch, `"b\351"`)
	b := get[branchList](s, "/git/branches", "r")
	equal(t, "current", b.Current, `"b\351"`)
	equal(t, "branches", strings.Join(b.Branches, " "), `"b\351" main`)
}

type branchList struct {
	Branches []string
	Current  string
}

func FuzzNamesComeBack(f *testing.F) {
	for _, name := range []string{"a", "caf\xe9", `"caf\351"`, `"\"caf\\351\""`, "\"\xff", `"\351`, `"`, `""`, "\"\\", "é\xff\\\"", `"\777"`, `"\a\q"`} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		text := textOf(name)
		if got := bytesOf(text); got != name {
			t.Errorf("%q is told as %q and comes back as %q", name, text, got)
		}
		if strings.ToValidUTF8(text, "?") != text {
			t.Errorf("%q is told as %q", name, text)
		}
	})
}

func TestBranchesComeAndGo(t *testing.T) {
	s := newSandbox(t)
	s.do("POST", "/git/init", body{"path": "r", "initial_branch": "main"}, http.StatusCreated)
	equal(t, "without a commit", s.do("GET", "/git/branches?path=r", nil, 200), "{\"branches\":[],\"current\":\"main\"}\n")
	s.do("POST", "/git/checkout", body{"path": "r", "branch": "main"}, http.StatusOK)
	s.put("r/file", "one")
	first := s.commit("r", "first")
	s.do("POST", "/git/branches", body{"path": "r", "name": "team/feature"}, http.StatusCreated)
	s.fails("POST", "/git/branches", body{"path": "r", "name": "main"}, 409, wire.GitBranchExists)
	s.put("r/file", "two")
	second := s.commit("r", "second")
	equal(t, "branches", s.do("GET", "/git/branches?path=r", nil, 200), "{\"branches\":[\"main\",\"team/feature\"],\"current\":\"team/feature\"}\n")
	s.fails("DELETE", "/git/branches", body{"path": "r", "name": "team/feature"}, 409, wire.Conflict)
	s.put("r/file", "in the way")
	s.fails("POST", "/git/checkout", body{"path": "r", "branch": "main"}, 409, wire.GitDirtyWorktree)
	s.put("r/file", "two")
	s.do("POST", "/git/checkout", body{"path": "r", "branch": "main"}, http.StatusOK)
	equal(t, "file", s.read("r/file"), "one")
	s.do("DELETE", "/git/branches", body{"path": "r", "name": "team/feature"}, http.StatusNoContent)
	s.fails("DELETE", "/git/branches", body{"path": "r", "name": "team/feature"}, 404, wire.GitBranchNotFound)
	s.do("POST", "/git/checkout", body{"path": "r", "branch": second[:7]}, http.StatusOK)
	equal(t, "detached", s.do("GET", "/git/branches?path=r", nil, 200), "{\"branches\":[\"main\"],\"current\":\"\"}\n")
	git(t, s.at("r"), "update-ref", "refs/remotes/origin/theirs", first)
	git(t, s.at("r"), "tag", "v1", first)
	git(t, s.at("r"), "config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
	s.give("r")
	s.do("POST", "/git/checkout", body{"path": "r", "branch": "theirs"}, http.StatusOK)
	equal(t, "status", s.status("r").head, head{CurrentBranch: "theirs", Upstream: "origin/theirs", BranchPublished: true})
	s.do("POST", "/git/checkout", body{"path": "r", "branch": "v1"}, http.StatusOK)
	equal(t, "tag", s.status("r").head, head{CurrentBranch: "HEAD", Detached: true})
	// A branch whose name looks like a commit's id is a branch.
	s.do("POST", "/git/branches", body{"path": "r", "name": "abcdef12"}, http.StatusCreated)
	s.do("POST", "/git/checkout", body{"path": "r", "branch": "main"}, http.StatusOK)
	s.do("POST", "/git/checkout", body{"path": "r", "branch": "abcdef12"}, http.StatusOK)
	equal(t, "branch", s.status("r").CurrentBranch, "abcdef12")
	for _, name := range []string{"none", "abcdef00", "*", "[a]", "v?", "HEAD", "v1~0", "refs/heads/main"} {
		s.fails("POST", "/git/checkout", body{"path": "r", "branch": name}, 404, wire.GitBranchNotFound)
	}
	for _, name := range []string{"", "-b", "--orphan=x", "a\nb", "a\x00b", "@{-1}", "a\x7f"} {
		s.fails("POST", "/git/checkout", body{"path": "r", "branch": name}, 400, wire.BadRequest)
		s.fails("POST", "/git/branches", body{"path": "r", "name": name}, 400, wire.BadRequest)
		s.fails("DELETE", "/git/branches", body{"path": "r", "name": name}, 400, wire.BadRequest)
	}
	for _, name := range []string{"a b", "a..b", "a.lock", "/a", "a/", "HEAD", "a~1"} {
		s.fails("POST", "/git/branches", body{"path": "r", "name": name}, 400, wire.BadRequest)
	}
}

func TestAddAndCommit(t *testing.T) {
	s := newSandbox(t, "GIT_AUTHOR_NAME", "Wrong", "GIT_COMMITTER_DATE", "2001-01-01T00:00:00Z", "GIT_INDEX_FILE", "/tmp/none")
	s.repo("r")
	s.put("r/.gitignore", "ignored\n")
	s.put("r/ignored", "x")
	s.put("r/sub/a", "x")
	s.put("r/sub/b", "x")
	s.do("POST", "/git/add", body{"path": "r", "files": []string{"sub", ".gitignore"}}, http.StatusOK)
	equal(t, "staged", fmt.Sprint(s.files("r")), "map[.gitignore:Added Unmodified sub/a:Added Unmodified sub/b:Added Unmodified]")
	if err := os.Remove(s.at("r/file")); err != nil {
		t.Fatal(err)
	}
	s.do("POST", "/git/add", body{"path": "r", "files": []string{"file"}}, http.StatusOK)
	equal(t, "vanished", s.files("r")["file"], "Deleted Unmodified")
	for _, files := range [][]string{{"none"}, {"ignored"}, {"../outside"}, {"/etc/passwd"}, {""}, {}, {"a\x00b"}, {"*"}} {
		s.fails("POST", "/git/add", body{"path": "r", "files": files}, 400, wire.BadRequest)
	}
	message := "  subject\n\n# not a comment\nÄ body  \n\n\n"
	before := time.Now().Add(-2 * time.Second)
	var made struct{ Hash string }
	unmarshal(t, s.do("POST", "/git/commit", body{"path": "r", "message": message, "author": "Ada Lovelace", "email": "ada@example.com"}, 200), &made)
	history := get[[]commitInfo](s, "/git/history", "r")
	equal(t, "commits", len(history), 2)
	at, err := time.Parse(time.RFC3339, history[0].Timestamp)
	if err != nil || at.Before(before) || at.After(time.Now().Add(time.Second)) {
		t.Errorf("timestamp %s, %v", history[0].Timestamp, err)
	}
	history[0].Timestamp = ""
	equal(t, "commit", history[0], commitInfo{Hash: made.Hash, Author: "Ada Lovelace", Email: "ada@example.com", Message: message})
	equal(t, "committer", git(t, s.at("r"), "log", "-1", "--format=%cn %ce"), "Ada Lovelace ada@example.com")
	said := s.fails("POST", "/git/commit", body{"path": "r", "message": "x", "author": "a", "email": "b"}, 400, wire.BadRequest)
	if !strings.Contains(said, "nothing to commit") {
		t.Error(said)
	}
	s.do("POST", "/git/commit", body{"path": "r", "message": "empty", "author": "a", "email": "b", "allow_empty": true}, 200)
	for _, b := range []body{
		{"message": "", "author": "a", "email": "b"},
		{"message": "x", "author": "", "email": "b"},
		{"message": "x", "author": "a"},
		{"message": "x", "author": "a\nb", "email": "b"},
		{"message": "x", "author": "a <b>", "email": "b"},
		{"message": "x\x00", "author": "a", "email": "b"},
	} {
		b["path"], b["allow_empty"] = "r", true
		s.fails("POST", "/git/commit", b, 400, wire.BadRequest)
	}
}

func unmarshal(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

func TestHistoryHasTheDatesOfTheirAuthors(t *testing.T) {
	for raw, want := range map[string]string{
		"0 +0000":                       "1970-01-01T00:00:00Z",
		"1700000000 +0530":              "2023-11-15T03:43:20+05:30",
		"1700000000 -0330":              "2023-11-14T18:43:20-03:30",
		"999999999999999999 +0000":      "1970-01-01T00:00:00Z",
		"99999999999999999999999 +0000": "1970-01-01T00:00:00Z",
		"nonsense":                      "1970-01-01T00:00:00Z",
		"":                              "1970-01-01T00:00:00Z",
		"1700000000 +9999":              "2023-11-14T22:13:20Z",
	} {
		equal(t, raw, timestamp(raw), want)
	}
	s := newSandbox(t)
	s.repo("r")
	git(t, s.at("r"), "-c", "i18n.commitEncoding=ISO-8859-1", "commit", "-q", "--allow-empty", "-m", "caf\xe9", "--date=1700000000 +0530", "--author=\xc4 <a@b>")
	c := get[[]commitInfo](s, "/git/history", "r")[0]
	equal(t, "commit", commitInfo{Author: c.Author, Email: c.Email, Message: c.Message, Timestamp: c.Timestamp},
		commitInfo{Author: "Ä", Email: "a@b", Message: "café\n", Timestamp: "2023-11-15T03:43:20+05:30"})
	s.do("POST", "/git/init", body{"path": "new"}, http.StatusCreated)
	equal(t, "without a commit", s.do("GET", "/git/history?path=new", nil, 200), "[]\n")
}

func TestInit(t *testing.T) {
	s := newSandbox(t)
	s.do("POST", "/git/init", body{"path": "a/b", "initial_branch": "trunk"}, http.StatusCreated)
	s.do("POST", "/git/init", body{"path": "c.git", "bare": true}, http.StatusCreated)
	s.put("full/file", "x")
	s.do("POST", "/git/init", body{"path": "full"}, http.StatusCreated)
	equal(t, "untracked", s.files("full")["file"], "Untracked Untracked")
	for _, path := range []string{"a/b", "c.git", "full"} {
		s.fails("POST", "/git/init", body{"path": path}, 409, wire.Conflict)
	}
	s.fails("POST", "/git/init", body{"path": "full/file"}, 409, wire.Conflict)
	s.fails("POST", "/git/init", body{"path": "/etc/x"}, 403, wire.FileAccessDenied)
	s.fails("POST", "/git/init", body{"path": ""}, 400, wire.BadRequest)
	for _, branch := range []string{"a b", "-x", "a..b"} {
		s.fails("POST", "/git/init", body{"path": "q/r", "initial_branch": branch}, 400, wire.BadRequest)
	}
	missing(t, s.at("q"))
	s.fails("GET", "/git/status?path=c.git", nil, 400, wire.BadRequest)
	s.do("POST", "/git/config", body{"key": "a.b", "value": "c", "scope": "local", "path": "c.git"}, http.StatusOK)
	equal(t, "config", git(t, s.at("c.git"), "config", "a.b"), "c")
	equal(t, "branches", s.do("GET", "/git/branches?path=c.git", nil, 200), "{\"branches\":[],\"current\":\"master\"}\n")
}

func TestOnlyARepositorysRootIsOne(t *testing.T) {
	s := newSandbox(t)
	s.repo("r")
	s.put("r/sub/file", "x")
	s.put("r/broken/.git/x", "x")
	if err := os.Symlink("r", s.at("link")); err != nil {
		t.Fatal(err)
	}
	equal(t, "behind a link", s.status("link").CurrentBranch, "main")
	for _, path := range []string{"none", "r/sub", "r/broken", "r/file", "."} {
		s.fails("GET", "/git/status?path="+path, nil, 404, wire.GitRepoNotFound)
		s.fails("GET", "/git/history?path="+path, nil, 404, wire.GitRepoNotFound)
		s.fails("GET", "/git/branches?path="+path, nil, 404, wire.GitRepoNotFound)
		s.fails("POST", "/git/add", body{"path": path, "files": []string{"."}}, 404, wire.GitRepoNotFound)
	}
	for _, route := range []string{"/git/status", "/git/history", "/git/branches", "/git/remotes"} {
		s.fails("GET", route, nil, 400, wire.BadRequest)
	}
	git(t, s.at("r"), "worktree", "add", "-q", "../tree")
	s.give("tree")
	s.give("r")
	equal(t, "a work tree besides", s.status("tree").CurrentBranch, "tree")
}

// The sandbox's user may work where others' files are, as far as they let it.
func TestARepositoryOfAnotherOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make files of others")
	}
	s := newSandbox(t)
	s.repo("r")
	if err := filepath.WalkDir(s.at("r"), func(p string, _ os.DirEntry, err error) error { return os.Lchown(p, 0, 0) }); err != nil {
		t.Fatal(err)
	}
	equal(t, "branch", s.status("r").CurrentBranch, "main")
	s.fails("POST", "/git/commit", body{"path": "r", "message": "x", "author": "a", "email": "b", "allow_empty": true}, 403, wire.FileAccessDenied)
	if err := os.Chmod(s.at("r"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.fails("GET", "/git/status?path=r", nil, 403, wire.FileAccessDenied)
}

func TestHooksAndMonitorsDoNotRun(t *testing.T) {
	s, server := newSandbox(t), newGitServer(t, false)
	dir, _ := server.fill("r.git")
	s.do("POST", "/git/clone", body{"url": server.url("r.git"), "path": "r"}, http.StatusOK)
	ran := s.at("ran")
	for _, hook := range []string{
		"applypatch-msg", "pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "post-checkout", "post-merge", "pre-merge-commit",
		"pre-push", "reference-transaction", "post-index-change", "post-rewrite", "fsmonitor-watchman", "pre-auto-gc",
	} {
		if err := os.WriteFile(s.at("r/.git/hooks", hook), []byte("#!/bin/sh\necho "+hook+" >>"+ran+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	git(t, s.at("r"), "config", "core.fsmonitor", s.at("r/.git/hooks/pre-push"))
	git(t, s.at("r"), "config", "gc.auto", "1")
	s.give("r")
	server.advance(dir, "main", "theirs", "x")
	s.do("POST", "/git/pull", body{"path": "r"}, http.StatusOK)
	s.do("POST", "/git/branches", body{"path": "r", "name": "b"}, http.StatusCreated)
	s.put("r/x", "x")
	s.commit("r", "x")
	s.status("r")
	s.do("POST", "/git/push", body{"path": "r"}, http.StatusOK)
	s.do("POST", "/git/reset", body{"path": "r", "mode": "hard", "target": "HEAD~1"}, http.StatusOK)
	missing(t, ran)
	if s.runs() {
		t.Error("a process is left")
	}
}

func TestRequestsThatChangeARepositoryWaitForEachOther(t *testing.T) {
	s := newSandbox(t)
	s.repo("r")
	const count = 8
	codes := make(chan int, count)
	for i := range count {
		s.put(fmt.Sprintf("r/%d", i), "x")
		go func() { codes <- s.send("POST", "/git/add", body{"path": "r", "files": []string{fmt.Sprint(i)}}).Code }()
	}
	for range count {
		equal(t, "status", <-codes, http.StatusOK)
	}
	equal(t, "added", len(s.files("r")), count)
	if err := os.WriteFile(s.at("r/.git/index.lock"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.fails("POST", "/git/add", body{"path": "r", "files": []string{"."}}, 409, wire.Conflict)
}

func TestReset(t *testing.T) {
	s := newSandbox(t)
	s.repo("r")
	s.put("r/file", "two\n")
	s.put("r/other", "x\n")
	s.commit("r", "second")
	for _, c := range []struct{ mode, want string }{
		{"soft", "map[file:Modified Unmodified other:Added Unmodified]"},
		{"mixed", "map[file:Unmodified Modified other:Untracked Untracked]"},
		{"", "map[file:Unmodified Modified other:Untracked Untracked]"},
		{"hard", "map[]"},
		{"merge", "map[]"},
		{"keep", "map[]"},
	} {
		id := git(t, s.at("r"), "rev-parse", "main")
		s.do("POST", "/git/reset", body{"path": "r", "mode": c.mode, "target": "main~1"}, http.StatusOK)
		equal(t, "mode "+c.mode, fmt.Sprint(s.files("r")), c.want)
		s.do("POST", "/git/reset", body{"path": "r", "mode": "hard", "target": id}, http.StatusOK)
	}
	s.put("r/file", "three\n")
	s.fails("POST", "/git/reset", body{"path": "r", "mode": "keep", "target": "HEAD~1"}, 409, wire.GitDirtyWorktree)
	s.put("r/other", "y\n")
	s.do("POST", "/git/add", body{"path": "r", "files": []string{"."}}, http.StatusOK)
	s.do("POST", "/git/reset", body{"path": "r", "files": []string{"other"}}, http.StatusOK)
	equal(t, "one file", fmt.Sprint(s.files("r")), "map[file:Modified Unmodified other:Unmodified Modified]")
	s.fails("POST", "/git/reset", body{"path": "r", "target": "none"}, 404, wire.NotFound)
	s.fails("POST", "/git/reset", body{"path": "r", "target": "--hard"}, 400, wire.BadRequest)
	s.fails("POST", "/git/reset", body{"path": "r", "mode": "gentle"}, 400, wire.BadRequest)
	s.fails("POST", "/git/reset", body{"path": "r", "mode": "hard", "files": []string{"file"}}, 400, wire.BadRequest)
	s.do("POST", "/git/init", body{"path": "new"}, http.StatusCreated)
	s.put("new/file", "x")
	s.do("POST", "/git/add", body{"path": "new", "files": []string{"file"}}, http.StatusOK)
	s.do("POST", "/git/reset", body{"path": "new"}, http.StatusOK)
	equal(t, "without a commit", s.files("new")["file"], "Untracked Untracked")
}

func TestRestore(t *testing.T) {
	s := newSandbox(t)
	s.repo("r")
	s.put("r/dir/x", "committed\n")
	s.commit("r", "second")
	dirty := func() {
		s.do("POST", "/git/reset", body{"path": "r", "mode": "hard"}, http.StatusOK)
		s.put("r/dir/x", "staged\n")
		s.do("POST", "/git/add", body{"path": "r", "files": []string{"dir"}}, http.StatusOK)
		s.put("r/dir/x", "edited\n")
	}
	for name, c := range map[string]struct {
		ask          body
		file, status string
	}{
		"work tree by default": {body{}, "staged\n", "Modified Unmodified"},
		"work tree":            {body{"worktree": true}, "staged\n", "Modified Unmodified"},
		"not staged":           {body{"worktree": true, "staged": false}, "staged\n", "Modified Unmodified"},
		"staged":               {body{"staged": true}, "edited\n", "Unmodified Modified"},
		"both":                 {body{"staged": true, "worktree": true}, "committed\n", ""},
		"work tree from HEAD":  {body{"source": "HEAD"}, "committed\n", "Modified Modified"},
		"a directory":          {body{"files": []string{"dir"}}, "staged\n", "Modified Unmodified"},
	} {
		dirty()
		c.ask["path"] = "r"
		if c.ask["files"] == nil {
			c.ask["files"] = []string{"dir/x"}
		}
		s.do("POST", "/git/restore", c.ask, http.StatusOK)
		equal(t, name, s.read("r/dir/x"), c.file)
		equal(t, name, s.files("r")["dir/x"], c.status)
	}
	dirty()
	s.fails("POST", "/git/restore", body{"path": "r", "files": []string{"none"}}, 400, wire.BadRequest)
	s.fails("POST", "/git/restore", body{"path": "r", "files": []string{}}, 400, wire.BadRequest)
	s.fails("POST", "/git/restore", body{"path": "r", "files": []string{"file"}, "staged": false}, 400, wire.BadRequest)
	s.fails("POST", "/git/restore", body{"path": "r", "files": []string{"file"}, "staged": false, "worktree": false}, 400, wire.BadRequest)
	s.fails("POST", "/git/restore", body{"path": "r", "files": []string{"file"}, "source": "none"}, 404, wire.NotFound)
	s.do("POST", "/git/init", body{"path": "new"}, http.StatusCreated)
	s.put("new/file", "x")
	s.do("POST", "/git/add", body{"path": "new", "files": []string{"file"}}, http.StatusOK)
	s.do("POST", "/git/restore", body{"path": "new", "files": []string{"file"}, "staged": true}, http.StatusOK)
	equal(t, "without a commit", s.files("new")["file"], "Untracked Untracked")
	equal(t, "its file", s.read("new/file"), "x")
}

func TestRemotes(t *testing.T) {
	s, server := newSandbox(t), newGitServer(t, false)
	server.fill("a.git")
	s.repo("r")
	equal(t, "none", s.do("GET", "/git/remotes?path=r", nil, 200), "{\"remotes\":[]}\n")
	s.do("POST", "/git/remotes", body{"path": "r", "name": "origin", "url": "example.com/a.git"}, http.StatusCreated)
	s.do("POST", "/git/remotes", body{"path": "r", "name": "fork", "url": "git@example.com:b.git"}, http.StatusCreated)
	equal(t, "two", s.do("GET", "/git/remotes?path=r", nil, 200), `{"remotes":[{"name":"origin","url":"https://example.com/a.git"},{"name":"fork","url":"git@example.com:b.git"}]}`+"\n")
	s.fails("POST", "/git/remotes", body{"path": "r", "name": "origin", "url": server.url("a.git")}, 409, wire.Conflict)
	git(t, s.at("r"), "config", "remote.origin.pushurl", "https://elsewhere.example.com")
	git(t, s.at("r"), "config", "--add", "remote.origin.url", "https://second.example.com")
	s.give("r")
	s.fails("POST", "/git/remotes", body{"path": "r", "name": "origin", "url": server.url("none.git"), "overwrite": true, "fetch": true}, 404, wire.GitRepoNotFound)
	s.do("POST", "/git/remotes", body{"path": "r", "name": "origin", "url": server.url("a.git"), "overwrite": true, "fetch": true}, http.StatusCreated)
	equal(t, "url", git(t, s.at("r"), "remote", "get-url", "--push", "--all", "origin"), server.url("a.git"))
	equal(t, "fetched", git(t, s.at("r"), "for-each-ref", "--format=%(refname)", "refs/remotes"), "refs/remotes/origin/feature\nrefs/remotes/origin/main")
	git(t, s.at("r"), "config", "remote.old.url", "https://u:geheim@example.com/x:y@z")
	git(t, s.at("r"), "config", "remote.only-fetch.fetch", "x")
	equal(t, "without password", get[map[string][]remote](s, "/git/remotes", "r")["remotes"][2], remote{"old", "https://u@example.com/x:y@z"})
	for _, b := range []body{
		{"name": "", "url": "https://a"}, {"name": "-f", "url": "https://a"}, {"name": "a b", "url": "https://a"}, {"name": "x", "url": ""}, {"name": "x", "url": "-u"},
		{"name": "x", "url": "ext::sh -c id"}, {"name": "x", "url": "https://u:p@a"},
	} {
		b["path"] = "r"
		s.fails("POST", "/git/remotes", b, 400, wire.BadRequest)
	}
}

func TestConfig(t *testing.T) {
	s := newSandbox(t)
	s.repo("r")
	value := func(query string) string {
		return strings.TrimSpace(s.do("GET", "/git/config?"+query, nil, http.StatusOK))
	}
	equal(t, "no file", value("key=user.name"), `{"value":null}`)
	s.do("POST", "/git/config/user", body{"name": "Ada", "email": "ada@example.com"}, http.StatusOK)
	equal(t, "global", value("key=user.name"), `{"value":"Ada"}`)
	equal(t, "in the user's file", git(t, s.home, "config", "-f", s.at(".gitconfig"), "user.email"), "ada@example.com")
	equal(t, "not in the local one", value("key=user.name&scope=local&path=r"), `{"value":null}`)
	s.do("POST", "/git/config/user", body{"name": "Local", "email": "l@example.com", "scope": "local", "path": "r"}, http.StatusOK)
	equal(t, "local", value("key=user.name&scope=local&path=r"), `{"value":"Local"}`)
	for _, v := range []string{"", "-x", "--unset", "a\nb", `"quoted" \ # ;`, " spaces ", "ü"} {
		s.do("POST", "/git/config", body{"key": "some.sub.section.name", "value": v}, http.StatusOK)
		var got struct{ Value *string }
		unmarshal(t, value("key=some.sub.section.name&scope=global"), &got)
		if got.Value == nil || *got.Value != v {
			t.Errorf("%q came back as %v", v, got.Value)
		}
	}
	git(t, s.home, "config", "-f", s.at(".gitconfig"), "--add", "some.sub.section.name", "second")
	s.give(".gitconfig")
	s.do("POST", "/git/config", body{"key": "some.sub.section.name", "value": "only"}, http.StatusOK)
	equal(t, "one value", git(t, s.home, "config", "-f", s.at(".gitconfig"), "--get-all", "some.sub.section.name"), "only")
	for _, key := range []string{"", "name", ".name", "section.", "a b.c", "--list", "a.1b", "a.b\nc"} {
		s.fails("POST", "/git/config", body{"key": key, "value": "x"}, 400, wire.BadRequest)
	}
	s.fails("POST", "/git/config", body{"key": "a.b"}, 400, wire.BadRequest)
	s.fails("POST", "/git/config", body{"key": "a.b", "value": "\x00"}, 400, wire.BadRequest)
	s.fails("POST", "/git/config", body{"key": "a.b", "value": "x", "scope": "worktree"}, 400, wire.BadRequest)
	s.fails("GET", "/git/config?key=a.b&scope=x", nil, 400, wire.BadRequest)
	s.fails("GET", "/git/config?key=a.b&scope=local", nil, 400, wire.BadRequest)
	s.fails("GET", "/git/config?key=a.b&scope=local&path=none", nil, 404, wire.GitRepoNotFound)
	s.fails("POST", "/git/config/user", body{"name": "x"}, 400, wire.BadRequest)
	if os.Geteuid() == 0 {
		s.fails("POST", "/git/config", body{"key": "a.b", "value": "x", "scope": "system"}, 403, wire.FileAccessDenied)
	}
	if err := os.WriteFile(s.at(".gitconfig"), []byte("[broken\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.fails("GET", "/git/config?key=a.b", nil, 400, wire.BadRequest)
}
