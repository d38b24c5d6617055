//go:build linux

package daytona_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	daytona "github.com/opendaytona/daytona/sdk"
)

func TestGitFromTheFirstCommitToThePush(t *testing.T) {
	c, _ := connect(t)
	ctx := t.Context()
	_, err := c.Snapshot.Create(ctx, daytona.CreateSnapshotParams{Name: "default", Image: "debian:12.9"}, nil)
	ok(t, err)
	// What is global here is not to be that of the machine.
	sb, err := c.Create(ctx, daytona.CreateParams{Env: map[string]string{"HOME": t.TempDir(), "GIT_CONFIG_NOSYSTEM": "1"}})
	ok(t, err)
	git := sb.Git

	ok(t, git.Init(ctx, "origin.git", true, "main"))
	wants(t, "a repository where one is", git.Init(ctx, "origin.git", true, ""), daytona.ErrConflict)
	ok(t, git.Clone(ctx, "./origin.git", "r", daytona.GitCloneOptions{}))
	ok(t, sb.FileSystem.UploadFile(ctx, []byte("one\n"), "r/file"))
	ok(t, git.Add(ctx, "r", "file"))
	_, err = git.Commit(ctx, "r", "", "a", "b", false)
	wants(t, "a commit without a message", err, daytona.ErrInvalid)
	first, err := git.Commit(ctx, "r", "first\n", "Ada", "ada@example.com", false)
	ok(t, err)
	ok(t, git.Push(ctx, "r", daytona.GitPushOptions{SetUpstream: true}))

	ok(t, git.CreateBranch(ctx, "r", "other"))
	wants(t, "a branch that is there", git.CreateBranch(ctx, "r", "main"), daytona.ErrConflict)
	ok(t, sb.FileSystem.UploadFile(ctx, []byte("two\n"), "r/file"))
	status, err := git.Status(ctx, "r")
	ok(t, err)
	if len(status.FileStatus) != 1 || status.FileStatus[0] != (daytona.GitFileStatus{Name: "file", Staging: "Unmodified", Worktree: "Modified"}) || status.CurrentBranch != "other" {
		t.Errorf("status %+v", status)
	}
	ok(t, git.Restore(ctx, "r", daytona.GitRestoreOptions{}, "file"))
	second, err := git.Commit(ctx, "r", "second", "Ada", "ada@example.com", true)
	ok(t, err)
	ok(t, git.Push(ctx, "r", daytona.GitPushOptions{Branch: "other", Remote: "origin"}))
	branches, err := git.Branches(ctx, "r")
	ok(t, err)
	if branches.Current != "other" || !slices.Equal(branches.Branches, []string{"main", "other"}) {
		t.Errorf("branches %+v", branches)
	}
	history, err := git.History(ctx, "r")
	ok(t, err)
	if len(history) != 2 || history[0].Hash != second || history[1].Hash != first || history[1].Message != "first\n" || history[1].Author != "Ada" || history[1].Email != "ada@example.com" {
		t.Errorf("history %+v", history)
	}
	if at, err := time.Parse(time.RFC3339, history[0].Timestamp); err != nil || time.Since(at) > time.Hour {
		t.Errorf("timestamp %q, %v", history[0].Timestamp, err)
	}

	ok(t, git.Clone(ctx, "./origin.git", "copy", daytona.GitCloneOptions{Branch: "other", Depth: 1}))
	history, err = git.History(ctx, "copy")
	if err != nil || len(history) != 1 {
		t.Errorf("a clone of depth 1 has %+v, %v", history, err)
	}
	ok(t, git.Clone(ctx, "./origin.git", "at", daytona.GitCloneOptions{CommitID: first[:8]}))
	status, err = git.Status(ctx, "at")
	if err != nil || !status.Detached || status.CurrentBranch != "HEAD" {
		t.Errorf("a clone of a commit is at %+v, %v", status, err)
	}

	ok(t, git.Checkout(ctx, "r", "main"))
	ok(t, git.Pull(ctx, "r", daytona.GitPullOptions{Branch: "other"}))
	ok(t, git.DeleteBranch(ctx, "r", "other"))
	wants(t, "deleting a branch that is not there", git.DeleteBranch(ctx, "r", "other"), daytona.ErrNotFound)
	status, err = git.Status(ctx, "r")
	if err != nil || status.Upstream != "origin/main" || !status.BranchPublished || status.Ahead != 1 || status.Behind != 0 {
		t.Errorf("after the pull: %+v, %v", status, err)
	}
	ok(t, git.Reset(ctx, "r", "hard", "HEAD~1"))
	wants(t, "a mode that is none", git.Reset(ctx, "r", "gentle", ""), daytona.ErrInvalid)
	status, err = git.Status(ctx, "r")
	if err != nil || status.Ahead != 0 {
		t.Errorf("after the reset: %+v, %v", status, err)
	}

	ok(t, git.AddRemote(ctx, "r", "fork", "https://example.com/fork.git", false, false))
	wants(t, "a remote that is there", git.AddRemote(ctx, "r", "fork", "https://example.com", false, false), daytona.ErrConflict)
	remotes, err := git.Remotes(ctx, "r")
	if err != nil || len(remotes) != 2 || remotes[1] != (daytona.GitRemote{Name: "fork", URL: "https://example.com/fork.git"}) {
		t.Errorf("remotes %+v, %v", remotes, err)
	}

	if value, is, err := git.GetConfig(ctx, "user.name", daytona.GitScope{}); err != nil || is {
		t.Errorf("user.name is %q, %v", value, err)
	}
	ok(t, git.ConfigureUser(ctx, "Ada", "ada@example.com", daytona.GitScope{}))
	ok(t, git.SetConfig(ctx, "user.name", "Local", daytona.GitScope{Scope: "local", Path: "r"}))
	for scope, want := range map[daytona.GitScope]string{{}: "Ada", {Scope: "local", Path: "r"}: "Local"} {
		if value, is, err := git.GetConfig(ctx, "user.name", scope); err != nil || !is || value != want {
			t.Errorf("user.name of %+v is %q, %v", scope, value, err)
		}
	}
	ok(t, git.DangerouslyAuthenticate(ctx, daytona.GitCredentials{Username: "me", Password: "secret"}, "git.example.com", ""))
	out, err := sb.Process.ExecuteCommand(ctx, "cat ~/.git-credentials", daytona.ExecuteOptions{})
	if err != nil || out.Result != "https://me:secret@git.example.com\n" {
		t.Errorf("stored: %+v, %v", out, err)
	}

	err = git.Clone(ctx, "./none.git", "x", daytona.GitCloneOptions{})
	wants(t, "cloning what is not there", err, daytona.ErrNotFound)
	var e *daytona.Error
	if !errors.As(err, &e) || e.Code != "GIT_REPO_NOT_FOUND" || e.Source != "DAYTONA_DAEMON" {
		t.Errorf("%+v", e)
	}
}
