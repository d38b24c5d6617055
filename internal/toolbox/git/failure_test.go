package git

import (
	"errors"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/toolbox/capture"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// What several versions of git and servers say.
func TestWhatGitSaysHasACode(t *testing.T) {
	for output, want := range map[string]wire.Code{
		"fatal: Authentication failed for 'https://h/x.git/'":                                                                                                      wire.GitAuthFailed,
		"fatal: could not read Username for 'https://h': terminal prompts disabled":                                                                                wire.GitAuthFailed,
		"fatal: could not read Password for 'https://u@h': No such device or address":                                                                              wire.GitAuthFailed,
		"git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.":                                                                     wire.GitAuthFailed,
		"remote: HTTP Basic: Access denied\nfatal: unable to access 'https://h/': The requested URL returned error: 500":                                           wire.GitAuthFailed,
		"remote: Permission to a/b.git denied to c.\nfatal: unable to access 'https://h/a/b.git/': The requested URL returned error: 403":                          wire.Forbidden,
		"fatal: unable to access 'https://h/': The requested URL returned error: 403":                                                                              wire.Forbidden,
		"remote: Repository not found.\nfatal: repository 'https://h/x.git/' not found":                                                                            wire.GitRepoNotFound,
		"remote: The project you were looking for could not be found.\nfatal: Could not read from remote repository.":                                              wire.GitRepoNotFound,
		"fatal: not a git repository: '/x/.git'":                                                                                                                   wire.GitRepoNotFound,
		"fatal: '/x' does not appear to be a git repository\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights": wire.GitRepoNotFound,
		"warning: Could not find remote branch x to clone.\nfatal: Remote branch x not found in upstream origin":                                                   wire.GitBranchNotFound,
		"fatal: couldn't find remote ref refs/heads/x":                                                                                                             wire.GitBranchNotFound,
		"error: branch 'x' not found.":                                                                          wire.GitBranchNotFound,
		"error: branch 'x' not found":                                                                           wire.GitBranchNotFound,
		"fatal: A branch named 'main' already exists.":                                                          wire.GitBranchExists,
		"fatal: a branch named 'main' already exists":                                                           wire.GitBranchExists,
		"error: Cannot delete branch 'main' checked out at '/x'":                                                wire.Conflict,
		"error: cannot delete branch 'main' used by worktree at '/x'":                                           wire.Conflict,
		"fatal: Unable to create '/x/.git/index.lock': File exists.\n\nAnother git process seems to be running": wire.Conflict,
		"fatal: destination path '/x' already exists and is not an empty directory.":                            wire.Conflict,
		"error: remote origin already exists.":                                                                  wire.Conflict,
		"To https://h\n ! [rejected]        main -> main (fetch first)\nerror: failed to push some refs to 'https://h'\nhint: Updates were rejected":          wire.GitPushRejected,
		"To https://h\n ! [rejected]        main -> main (non-fast-forward)\nerror: failed to push some refs to 'https://h'":                                  wire.GitPushRejected,
		"To https://h\n ! [remote rejected] main -> main (pre-receive hook declined)\nerror: failed to push some refs to 'https://h'":                         wire.GitRemoteRejected,
		"remote: fatal: Authentication failed\nremote: (fetch first)\n ! [remote rejected] main -> main (protected branch hook declined)":                     wire.GitRemoteRejected,
		"error: Your local changes to the following files would be overwritten by merge:\n\tfile\nPlease commit your changes or stash them before you merge.": wire.GitDirtyWorktree,
		"error: The following untracked working tree files would be overwritten by checkout:\n\tx":                                                            wire.GitDirtyWorktree,
		"error: Entry 'file' not uptodate. Cannot merge.\nfatal: Could not reset index file to revision 'x'.":                                                 wire.GitDirtyWorktree,
		"fatal: Not possible to fast-forward, aborting.":                                                                                                      wire.GitMergeConflict,
		"hint: Diverging branches can't be fast-forwarded, you need to either:\nfatal: Not possible to fast-forward, aborting.":                               wire.GitMergeConflict,
		"error: Committing is not possible because you have unmerged files.":                                                                                  wire.GitMergeConflict,
		"error: src refspec refs/heads/x does not match any\nerror: failed to push some refs to 'h'":                                                          wire.NotFound,
		"fatal: remote error: upload-pack: not our ref abc":                                                                                                   wire.NotFound,
		"error: Server does not allow request for unadvertised object abc":                                                                                    wire.NotFound,
		"fatal: unable to access 'https://h/': Could not resolve host: h":                                                                                     wire.GitTransportFailed,
		"fatal: unable to access 'https://h/': server certificate verification failed. CAfile: none CRLfile: none":                                            wire.GitTransportFailed,
		"fatal: unable to access 'https://h/': SSL certificate problem: self-signed certificate":                                                              wire.GitTransportFailed,
		"fatal: unable to access 'http://h/': Failed to connect to h port 80 after 0 ms: Couldn't connect to server":                                          wire.GitTransportFailed,
		"ssh: connect to host h port 22: Connection refused\nfatal: Could not read from remote repository.":                                                   wire.GitTransportFailed,
		"Host key verification failed.\nfatal: Could not read from remote repository.":                                                                        wire.GitTransportFailed,
		"error: RPC failed; curl 18 transfer closed with outstanding read data remaining\nfatal: early EOF":                                                   wire.GitTransportFailed,
		"fatal: unable to access 'https://h/': The requested URL returned error: 503":                                                                         wire.GitTransportFailed,
		"error: could not lock config file /etc/gitconfig: Permission denied":                                                                                 wire.FileAccessDenied,
		"fatal: could not create work tree dir '/x': Read-only file system":                                                                                   wire.FileAccessDenied,
		"error: pathspec 'x' did not match any file(s) known to git":                                                                                          wire.BadRequest,
		"fatal: 'a b' is not a valid branch name":                                                                                                             wire.BadRequest,
		"fatal: this operation must be run in a work tree":                                                                                                    wire.BadRequest,
		"git: 'remote-https' is not a git command. See 'git --help'.":                                                                                         wire.Internal,
		"fatal: unable to find remote helper for 'https'":                                                                                                     wire.BadRequest,
		"error: could not write: No space left on device":                                                                                                     wire.Internal,
		"fatal: something that nobody has seen before":                                                                                                        wire.Internal,
		// What something is called says nothing.
		"error: pathspec 'authentication failed' did not match any file(s) known to git":             wire.BadRequest,
		"fatal: 'merge conflict' is not a valid branch name":                                         wire.BadRequest,
		"remote: we have not found your repository not found page, non-fast-forward\nfatal: unknown": wire.GitRepoNotFound,
	} {
		r := &result{code: 128}
		r.stderr.Append([]byte(output))
		var e *wire.Error
		if !errors.As(failure(command{}, r), &e) || e.Code != want {
			t.Errorf("%q: %v %v, want %s", output, e.Status, e.Code, want)
		}
	}
	for _, all := range [][]rule{pushed, remoteWords, ownWords} {
		for _, rule := range all {
			if rule.fits("") {
				t.Errorf("%s fits everything", rule.words)
			}
		}
	}
}

func TestMessagesAreGitsWordsForPeople(t *testing.T) {
	r := &result{code: 1}
	r.stderr.Append([]byte(strings.Repeat("noise\n", capture.TailSize)))
	r.stderr.Append([]byte("remote: \rremote: Counting: 1%\rremote: Counting: 100%\nremote:   your quota is used up   \nremote:\nhint: read the manual\nfatal: https://u:geheim@h/x: told\n"))
	told := failure(command{secret: &secret{user: "u", password: "other"}}, r).Error()
	if !strings.HasSuffix(told, "\nremote: Counting: 100%\nremote:   your quota is used up\nfatal: https://***:***@h/x: told (exit code 1)") || len(told) > capture.TailSize {
		t.Errorf("%d bytes: %s", len(told), told[max(0, len(told)-200):])
	}
	old := &result{code: 129}
	old.stderr.Append([]byte("error: unknown option `x'\n"))
	if told := failure(command{}, old).Error(); !strings.Contains(told, "too old") {
		t.Error(told)
	}
}
