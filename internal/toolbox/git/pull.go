package git

import (
	"context"
	"net/http"
	"strings"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

type pullRequest struct {
	Path     string `json:"path"`
	Remote   string `json:"remote"`
	Branch   string `json:"branch"`
	Username string `json:"username"`
	Password string `json:"password"`
}

// pull fetches a branch and moves the current one forward to it, never otherwise.
// As with a clone, the files come when the credentials are gone.
func (s *Service) pull(w http.ResponseWriter, r *http.Request) error {
	var req pullRequest
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	repo, err := s.open(req.Path)
	if err != nil {
		return err
	}
	remote, secret, err := s.remoteOf(r.Context(), repo, req.Remote, "", req.Username, req.Password)
	if err != nil {
		return err
	}
	branch, err := s.upstreamOf(r.Context(), repo, remote, req.Branch)
	if err != nil {
		return err
	}
	id, err := s.fetch(r.Context(), repo, remote, branch, secret)
	if err != nil {
		return err
	}
	repo, unlock, err := s.change(r.Context(), req.Path)
	if err != nil {
		return err
	}
	defer unlock()
	return s.do(r.Context(), command{
		repo: repo, env: lfs(secret),
		args: []string{"merge", "--quiet", "--ff-only", "--no-autostash", "--no-squash", "--no-verify-signatures", "--no-stat", id},
	})
}

// fetch brings a branch and tells its commit.
func (s *Service) fetch(ctx context.Context, repo *repository, remote, branch string, secret *secret) (string, error) {
	unlock, err := s.fetches.Lock(ctx, repo.path) // FETCH_HEAD is one for all
	if err != nil {
		return "", wire.Errorf(http.StatusRequestTimeout, wire.RequestTimeout, "the client went away while another request pulled into %s", repo.path)
	}
	defer unlock()
	err = s.do(ctx, command{repo: repo, secret: secret, args: []string{"fetch", "--quiet", "--no-recurse-submodules", "--", remote, "refs/heads/" + branch}})
	if err != nil {
		return "", err
	}
	return s.ask(ctx, command{repo: repo, args: []string{"rev-parse", "--verify", "FETCH_HEAD"}})
}

// upstreamOf is the remote's branch for a pull: the one asked for, else the
// current branch's upstream, else the one of the same name.
func (s *Service) upstreamOf(ctx context.Context, repo *repository, remote, asked string) (string, error) {
	branch, err := s.branchOf(ctx, repo, asked)
	if err != nil || asked != "" {
		return branch, err
	}
	upstream, ok, err := s.look(ctx, command{repo: repo, args: []string{"config", "--get", "branch." + branch + ".remote"}})
	if err != nil || !ok || upstream != remote {
		return branch, err
	}
	merged, ok, err := s.look(ctx, command{repo: repo, args: []string{"config", "--get", "branch." + branch + ".merge"}})
	if err != nil || !ok {
		return branch, err
	}
	return strings.TrimPrefix(merged, "refs/heads/"), nil
}
