package git

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

func (s *Service) listBranches(w http.ResponseWriter, r *http.Request) error {
	repo, err := s.open(r.URL.Query().Get("path"))
	if err != nil {
		return err
	}
	current, err := s.branch(r.Context(), repo)
	if err != nil {
		return err
	}
	run, err := s.must(r.Context(), command{repo: repo, args: []string{"for-each-ref", "--format=%(refname)", "refs/heads/"}})
	if err != nil {
		return err
	}
	defer run.Close()
	refs, err := run.lines()
	if err != nil {
		return err
	}
	branches := make([]string, len(refs))
	for i, ref := range refs {
		branches[i] = textOf(strings.TrimPrefix(ref, "refs/heads/"))
	}
	wire.JSON(w, http.StatusOK, struct {
		Branches []string `json:"branches"`
		Current  string   `json:"current"`
	}{branches, textOf(current)})
	return nil
}

type branchRequest struct {
	Path string `json:"path"`
	Name string `json:"name"`
}

// changeBranch answers a route that does one thing to a branch: the arguments of
// git, of which its name is the last.
func (s *Service) changeBranch(status int, args ...string) http.Handler {
	return wire.Handler(func(w http.ResponseWriter, r *http.Request) error {
		var req branchRequest
		if err := wire.Decode(w, r, &req); err != nil {
			return err
		}
		branch, err := branchName("name", req.Name)
		if err != nil {
			return err
		}
		repo, unlock, err := s.change(r.Context(), req.Path)
		if err != nil {
			return err
		}
		defer unlock()
		if err := s.do(r.Context(), command{repo: repo, args: append(slices.Clone(args), branch)}); err != nil {
			return err
		}
		w.WriteHeader(status)
		return nil
	})
}

type checkoutRequest struct {
	Path   string `json:"path"`
	Branch string `json:"branch"`
}

// checkout switches to a branch; else to the commit of that id, to a new branch
// from origin's of that name, or to the tag.
func (s *Service) checkout(w http.ResponseWriter, r *http.Request) error {
	var req checkoutRequest
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	branch, err := branchName("branch", req.Branch)
	if err != nil {
		return err
	}
	repo, unlock, err := s.change(r.Context(), req.Path)
	if err != nil {
		return err
	}
	defer unlock()
	how, err := s.wayTo(r.Context(), repo, branch)
	if err != nil || how == nil {
		return err
	}
	return s.do(r.Context(), command{repo: repo, args: append([]string{"checkout", "--quiet"}, how...)})
}

// wayTo is git's arguments for a checkout; nil where it is checked out already.
func (s *Service) wayTo(ctx context.Context, repo *repository, branch string) ([]string, error) {
	local, remote, tag := "refs/heads/"+branch, "refs/remotes/origin/"+branch, "refs/tags/"+branch
	run, err := s.must(ctx, command{repo: repo, args: []string{"for-each-ref", "--format=%(refname)", local, remote, tag}})
	if err != nil {
		return nil, err
	}
	defer run.Close()
	there, err := run.lines() // with those below, where it is a part of names
	if err != nil {
		return nil, err
	}
	if slices.Contains(there, local) {
		return []string{branch, "--"}, nil
	}
	if commitID().MatchString(branch) {
		if id, err := s.resolve(ctx, repo, branch, "commit"); err != nil || id != "" {
			return []string{"--detach", id, "--"}, err
		}
	}
	switch {
	case slices.Contains(there, remote):
		return []string{"--track", "-b", branch, remote, "--"}, nil
	case slices.Contains(there, tag):
		return []string{"--detach", tag, "--"}, nil
	}
	current, err := s.branch(ctx, repo)
	if err != nil || current == branch { // without a commit it is no ref yet
		return nil, err
	}
	return nil, wire.Errorf(http.StatusNotFound, wire.GitBranchNotFound, "the repository has no branch, commit or tag %q: git.branches lists its branches", branch)
}
