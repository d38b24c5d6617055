package git

import (
	"context"
	"net/http"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

type pushRequest struct {
	Path        string `json:"path"`
	Remote      string `json:"remote"`
	Branch      string `json:"branch"`
	SetUpstream bool   `json:"set_upstream"`
	Username    string `json:"username"`
	Password    string `json:"password"`
}

// push sends a branch to the one of the same name, never by force.
func (s *Service) push(w http.ResponseWriter, r *http.Request) error {
	var req pushRequest
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	repo, err := s.open(req.Path)
	if err != nil {
		return err
	}
	branch, err := s.branchOf(r.Context(), repo, req.Branch)
	if err != nil {
		return err
	}
	remote, secret, err := s.remoteOf(r.Context(), repo, req.Remote, "--push", req.Username, req.Password)
	if err != nil {
		return err
	}
	c := command{
		repo: repo, secret: secret,
		args: []string{"push", "--no-verify", "--no-signed", "--no-follow-tags", "--recurse-submodules=no"},
	}
	if req.SetUpstream {
		c.args = append(c.args, "--set-upstream")
	}
	ref := "refs/heads/" + branch
	c.args = append(c.args, "--", remote, ref+":"+ref)
	return s.do(r.Context(), c)
}

// branchOf is the branch of a request, by default the current one.
func (s *Service) branchOf(ctx context.Context, repo *repository, asked string) (string, error) {
	if asked != "" {
		return branchName("branch", asked)
	}
	branch, err := s.branch(ctx, repo)
	if err == nil && branch == "" {
		return "", wire.Errorf(http.StatusNotFound, wire.NotFound, "HEAD is detached, so there is no current branch: name the branch")
	}
	return branch, err
}

// remoteOf is the remote of a request, by default origin, and what its server may
// be told. url is how git is asked for its URL.
func (s *Service) remoteOf(ctx context.Context, repo *repository, asked, url, user, password string) (string, *secret, error) {
	if asked == "" {
		asked = "origin"
	}
	remote, err := name("remote", asked)
	if err != nil {
		return "", nil, err
	}
	args := []string{"remote", "get-url"}
	if url != "" {
		args = append(args, url)
	}
	meant, ok, err := s.look(ctx, command{repo: repo, args: append(args, "--", remote)})
	if err != nil {
		return "", nil, err
	}
	if !ok {
		return "", nil, wire.Errorf(http.StatusNotFound, wire.NotFound, "the repository has no remote %q: add it with git.remote_add", remote)
	}
	// Without credentials of the request, those in a URL are git's own business.
	if user == "" || password == "" {
		return remote, nil, nil
	}
	if withoutPassword(meant) != meant {
		return "", nil, wire.Bad("the URL of remote %q has a password of its own, which git would use instead: remove it there (git.remote_add with overwrite), or leave out username and password", remote)
	}
	secret, err := newSecret(user, password, meant)
	return remote, secret, err
}
