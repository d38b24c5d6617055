package daytona

import (
	"context"
	"net/http"
)

// Git works with repositories in a sandbox, by the git program of its image, as its
// user. path is the root of a repository; relative paths start from the working
// directory. Errors of all: ErrNotFound for a repository that is not there,
// ErrForbidden where the user may not, ErrInvalid where the image has no git.
// Error.Code says more, as GIT_AUTH_FAILED and GIT_MERGE_CONFLICT do.
type Git struct{ sandbox *Sandbox }

// GitCredentials are for one call, and for HTTP and HTTPS. Both or none.
type GitCredentials struct {
	Username string
	Password string // or a token
}

// GitCloneOptions of a clone.
type GitCloneOptions struct {
	Branch          string // or tag; "" is the remote's default
	CommitID        string // detaches HEAD there; may be abbreviated
	Depth           int    // how many commits; 0 is all
	InsecureSkipTLS bool   // trusts any certificate, in this call only
	GitCredentials
}

// Clone brings a repository to path. A URL without a scheme is https. Errors:
// ErrUnauthorized when the server wants credentials, ErrConflict when something is
// at path, ErrUnreachable when the server is not reached.
func (g *Git) Clone(ctx context.Context, url, path string, o GitCloneOptions) error {
	return g.post(ctx, "clone", map[string]any{
		"url": url, "path": path, "branch": o.Branch, "commit_id": o.CommitID, "depth": o.Depth, "insecure_skip_tls": o.InsecureSkipTLS,
		"username": o.Username, "password": o.Password,
	}, nil)
}

// Init makes an empty repository, with the directories it needs. initialBranch ""
// is git's default. Errors: ErrConflict when there is one.
func (g *Git) Init(ctx context.Context, path string, bare bool, initialBranch string) error {
	return g.post(ctx, "init", map[string]any{"path": path, "bare": bare, "initial_branch": initialBranch}, nil)
}

// GitStatus is the state of a work tree.
type GitStatus struct {
	CurrentBranch   string          `json:"currentBranch"` // HEAD when it is detached
	Detached        bool            `json:"detached"`
	Upstream        string          `json:"upstream"` // as origin/main; "" is none
	BranchPublished bool            `json:"branchPublished"`
	Ahead           int             `json:"ahead"`  // commits that the upstream does not have
	Behind          int             `json:"behind"` // and that only the upstream has
	FileStatus      []GitFileStatus `json:"fileStatus"`
}

// GitFileStatus is a file that differs from the last commit. Staging and Worktree
// are Unmodified, Untracked, Modified, Added, Deleted, Renamed, Copied or "Updated
// but unmerged".
type GitFileStatus struct {
	Name     string `json:"name"`
	Staging  string `json:"staging"`  // the index beside the last commit
	Worktree string `json:"worktree"` // the file beside the index
	Extra    string `json:"extra"`    // the name before a renaming
}

// Status tells what differs from the last commit.
func (g *Git) Status(ctx context.Context, path string) (*GitStatus, error) {
	var out GitStatus
	if err := g.get(ctx, "status", path, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// GitCommitInfo tells of a commit.
type GitCommitInfo struct {
	Hash      string `json:"hash"`
	Author    string `json:"author"`
	Email     string `json:"email"`
	Timestamp string `json:"timestamp"` // RFC 3339, in the author's time zone
	Message   string `json:"message"`
}

// History lists the commits of HEAD, newest first.
func (g *Git) History(ctx context.Context, path string) ([]GitCommitInfo, error) {
	var out []GitCommitInfo
	err := g.get(ctx, "history", path, &out)
	return out, err
}

// Add stages files and directories, relative to the root; "." is all. One that is
// gone is staged as deleted. Errors: ErrInvalid for one that is nowhere.
func (g *Git) Add(ctx context.Context, path string, files ...string) error {
	return g.post(ctx, "add", map[string]any{"path": path, "files": files}, nil)
}

// Commit commits what is staged and returns the commit's hash. Errors: ErrInvalid
// when nothing is and allowEmpty is false.
func (g *Git) Commit(ctx context.Context, path, message, author, email string, allowEmpty bool) (string, error) {
	var out struct {
		Hash string `json:"hash"`
	}
	err := g.post(ctx, "commit", map[string]any{"path": path, "message": message, "author": author, "email": email, "allow_empty": allowEmpty}, &out)
	return out.Hash, err
}

// GitBranches are the local branches.
type GitBranches struct {
	Branches []string `json:"branches"`
	Current  string   `json:"current"` // "" when HEAD is detached
}

// Branches lists the local branches.
func (g *Git) Branches(ctx context.Context, path string) (*GitBranches, error) {
	var out GitBranches
	if err := g.get(ctx, "branches", path, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// CreateBranch makes a branch at HEAD and switches to it. Errors: ErrConflict when
// it exists.
func (g *Git) CreateBranch(ctx context.Context, path, name string) error {
	return g.post(ctx, "branches", map[string]any{"path": path, "name": name}, nil)
}

// DeleteBranch deletes a branch, also one that is not merged. Errors: ErrConflict
// for the current one.
func (g *Git) DeleteBranch(ctx context.Context, path, name string) error {
	return g.sandbox.call(ctx, request{method: http.MethodDelete, url: "/git/branches", body: map[string]any{"path": path, "name": name}}, nil)
}

// Checkout switches to a branch; else to a commit, to origin's branch of that name,
// or to a tag. Errors: ErrConflict when changes are in the way.
func (g *Git) Checkout(ctx context.Context, path, branch string) error {
	return g.post(ctx, "checkout", map[string]any{"path": path, "branch": branch}, nil)
}

// GitPushOptions of a push.
type GitPushOptions struct {
	Branch      string // "" is the current one
	Remote      string // "" is origin
	SetUpstream bool   // records the remote's branch as the upstream
	GitCredentials
}

// Push sends a branch to the one of the same name, never by force. Errors:
// ErrUnauthorized, ErrConflict when the remote has commits that are not here,
// ErrInvalid when the remote's rules refuse it, ErrUnreachable.
func (g *Git) Push(ctx context.Context, path string, o GitPushOptions) error {
	return g.post(ctx, "push", map[string]any{
		"path": path, "branch": o.Branch, "remote": o.Remote, "set_upstream": o.SetUpstream, "username": o.Username, "password": o.Password,
	}, nil)
}

// GitPullOptions of a pull.
type GitPullOptions struct {
	Branch string // "" is the current one's upstream
	Remote string // "" is origin
	GitCredentials
}

// Pull moves the current branch forward to the remote's. Errors: ErrUnauthorized,
// ErrConflict when the two have diverged or changes are in the way, ErrUnreachable.
func (g *Git) Pull(ctx context.Context, path string, o GitPullOptions) error {
	return g.post(ctx, "pull", map[string]any{
		"path": path, "branch": o.Branch, "remote": o.Remote, "username": o.Username, "password": o.Password,
	}, nil)
}

// Reset moves the current branch to target, "" is HEAD. mode is soft, mixed, hard,
// merge or keep; "" is mixed. With files, only those are reset, in the index.
func (g *Git) Reset(ctx context.Context, path, mode, target string, files ...string) error {
	return g.post(ctx, "reset", map[string]any{"path": path, "mode": mode, "target": target, "files": files}, nil)
}

// GitRestoreOptions of a restoring. Neither Staged nor Worktree is the work tree.
type GitRestoreOptions struct {
	Staged   bool
	Worktree bool
	Source   string // "" is the index for the work tree alone, else HEAD
}

// Restore gives files the content that they have in the source. Errors: ErrInvalid
// for one that is nowhere.
func (g *Git) Restore(ctx context.Context, path string, o GitRestoreOptions, files ...string) error {
	body := map[string]any{"path": path, "files": files, "source": o.Source}
	if o.Staged || o.Worktree {
		body["staged"], body["worktree"] = o.Staged, o.Worktree
	}
	return g.post(ctx, "restore", body, nil)
}

// GitRemote is a remote with its first URL.
type GitRemote struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

// Remotes lists the remotes.
func (g *Git) Remotes(ctx context.Context, path string) ([]GitRemote, error) {
	var out struct {
		Remotes []GitRemote `json:"remotes"`
	}
	err := g.get(ctx, "remotes", path, &out)
	return out.Remotes, err
}

// AddRemote adds a remote, and with fetch fetches from it at once. Errors:
// ErrConflict when there is one of that name and overwrite is false.
func (g *Git) AddRemote(ctx context.Context, path, name, url string, fetch, overwrite bool) error {
	return g.post(ctx, "remotes", map[string]any{"path": path, "name": name, "url": url, "fetch": fetch, "overwrite": overwrite}, nil)
}

// GitScope is a file of git's settings. The zero value is the user's.
type GitScope struct {
	Scope string // global, local or system; "" is global
	Path  string // the repository of scope local
}

// GetConfig reads a setting such as user.name; ok says that it is set.
func (g *Git) GetConfig(ctx context.Context, key string, in GitScope) (value string, ok bool, err error) {
	var out struct {
		Value *string `json:"value"`
	}
	q := map[string][]string{"key": {key}}
	if in.Scope != "" {
		q["scope"] = []string{in.Scope}
	}
	if in.Path != "" {
		q["path"] = []string{in.Path}
	}
	err = g.sandbox.call(ctx, request{method: http.MethodGet, url: "/git/config", query: q}, &out)
	if err != nil || out.Value == nil {
		return "", false, err
	}
	return *out.Value, true, nil
}

// SetConfig sets a setting, in place of all its values in that scope.
func (g *Git) SetConfig(ctx context.Context, key, value string, in GitScope) error {
	return g.post(ctx, "config", map[string]any{"key": key, "value": value, "scope": in.Scope, "path": in.Path}, nil)
}

// ConfigureUser sets the name and the e-mail address of commits.
func (g *Git) ConfigureUser(ctx context.Context, name, email string, in GitScope) error {
	return g.post(ctx, "config/user", map[string]any{"name": name, "email": email, "scope": in.Scope, "path": in.Path}, nil)
}

// DangerouslyAuthenticate stores credentials for later calls without any, in plain
// text in the sandbox, where everything that runs in it can read them. host "" is
// github.com, protocol "" https.
func (g *Git) DangerouslyAuthenticate(ctx context.Context, c GitCredentials, host, protocol string) error {
	return g.post(ctx, "credentials", map[string]any{"username": c.Username, "password": c.Password, "host": host, "protocol": protocol}, nil)
}

func (g *Git) post(ctx context.Context, route string, body map[string]any, out any) error {
	return g.sandbox.call(ctx, request{method: http.MethodPost, url: "/git/" + route, body: body}, out)
}

func (g *Git) get(ctx context.Context, route, path string, out any) error {
	return g.sandbox.call(ctx, request{method: http.MethodGet, url: "/git/" + route, query: at(path)}, out)
}
