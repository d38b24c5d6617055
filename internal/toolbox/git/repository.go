package git

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// repository is one that exists.
type repository struct {
	path   string // its root
	gitDir string
	bare   bool
}

// open finds the repository whose root is path; one that lies above is not meant.
func (s *Service) open(path string) (*repository, error) {
	path, err := s.launcher.Path(path)
	if err != nil {
		return nil, err
	}
	var found *repository
	err = s.launcher.AsUser(func() (err error) {
		found, err = find(path)
		return err
	})
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, wire.Errorf(http.StatusNotFound, wire.GitRepoNotFound,
			"%s is not the root of a git repository: clone one there, or make one by git.init", path)
	}
	return found, nil
}

// find is nil where path is no repository.
func find(path string) (*repository, error) {
	switch _, err := os.Stat(filepath.Join(path, ".git")); {
	case err == nil:
		return &repository{path: path, gitDir: filepath.Join(path, ".git")}, nil
	case !isMissing(err):
		return nil, err
	}
	for _, part := range []string{"HEAD", "objects", "refs"} {
		if _, err := os.Stat(filepath.Join(path, part)); isMissing(err) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
	}
	return &repository{path: path, gitDir: path, bare: true}, nil
}

func isMissing(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// change opens a repository and keeps others from changing it at the same time.
func (s *Service) change(ctx context.Context, path string) (*repository, func(), error) {
	repo, err := s.open(path)
	if err != nil {
		return nil, nil, err
	}
	unlock, err := s.changes.Lock(ctx, repo.path)
	if err != nil {
		return nil, nil, wire.Errorf(http.StatusRequestTimeout, wire.RequestTimeout, "the client went away while another request changed %s", repo.path)
	}
	return repo, unlock, nil
}

// branch is the short name of the current branch, also of one without a commit;
// "" when HEAD is detached.
func (s *Service) branch(ctx context.Context, repo *repository) (string, error) {
	ref, ok, err := s.look(ctx, command{repo: repo, args: []string{"symbolic-ref", "--quiet", "HEAD"}})
	if err != nil || !ok {
		return "", err
	}
	return strings.TrimPrefix(ref, "refs/heads/"), nil
}

// resolve is the id of the object of that kind that a revision names, "" for none.
func (s *Service) resolve(ctx context.Context, repo *repository, revision, kind string) (string, error) {
	id, ok, err := s.look(ctx, command{repo: repo, args: []string{"rev-parse", "--verify", "--quiet", revision + "^{" + kind + "}"}})
	if err != nil || !ok {
		return "", err
	}
	return id, nil
}

// revision is resolve for what a request names.
func (s *Service) revision(ctx context.Context, repo *repository, what, text, kind string) (string, error) {
	text, err := name(what, text)
	if err != nil {
		return "", err
	}
	id, err := s.resolve(ctx, repo, text, kind)
	if err == nil && id == "" {
		return "", wire.Errorf(http.StatusNotFound, wire.NotFound, "%s %q is no revision of this repository: give a commit, a branch or a tag that it has", what, text)
	}
	return id, err
}

// born tells whether the repository has a commit at HEAD.
func (s *Service) born(ctx context.Context, repo *repository) (bool, error) {
	id, err := s.resolve(ctx, repo, "HEAD", "commit")
	return id != "", err
}
