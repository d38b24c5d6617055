package git

import (
	"net/http"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

type resetRequest struct {
	Path   string   `json:"path"`
	Mode   string   `json:"mode"`
	Target string   `json:"target"`
	Files  []string `json:"files"`
}

var resetModes = map[string]bool{"soft": true, "mixed": true, "hard": true, "merge": true, "keep": true}

// reset moves the current branch to a commit, or with files takes only those
// into the index.
func (s *Service) reset(w http.ResponseWriter, r *http.Request) error {
	var req resetRequest
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	if req.Mode == "" {
		req.Mode = "mixed"
	}
	if !resetModes[req.Mode] {
		return wire.Bad("mode %q is not one of soft, mixed, hard, merge and keep", req.Mode)
	}
	repo, unlock, err := s.change(r.Context(), req.Path)
	if err != nil {
		return err
	}
	defer unlock()
	c := command{repo: repo, args: []string{"reset", "--quiet"}}
	if len(req.Files) == 0 {
		c.args = append(c.args, "--"+req.Mode)
	} else if req.Mode != "mixed" {
		return wire.Bad("files can be reset in mode mixed only: leave out mode %s, or use git.restore", req.Mode)
	} else {
		if c.stdin, err = pathspecs(req.Files); err != nil {
			return err
		}
		c.args = append(c.args, "--pathspec-from-file=-", "--pathspec-file-nul")
	}
	if req.Target != "" { // without, HEAD, which need not have a commit yet
		id, err := s.revision(r.Context(), repo, "target", req.Target, "commit")
		if err != nil {
			return err
		}
		c.args = append(c.args, id)
	}
	return s.do(r.Context(), c)
}

type restoreRequest struct {
	Path     string   `json:"path"`
	Files    []string `json:"files"`
	Staged   *bool    `json:"staged"`
	Worktree *bool    `json:"worktree"`
	Source   string   `json:"source"`
}

// restore gives files in the work tree, the index or both the content that they
// have in the source.
func (s *Service) restore(w http.ResponseWriter, r *http.Request) error {
	var req restoreRequest
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	files, err := pathspecs(req.Files)
	if err != nil {
		return err
	}
	staged := req.Staged != nil && *req.Staged
	worktree := req.Worktree != nil && *req.Worktree || req.Staged == nil && req.Worktree == nil
	if !staged && !worktree {
		return wire.Bad("staged and worktree are both false, so there is nothing to restore: set one of them")
	}
	repo, unlock, err := s.change(r.Context(), req.Path)
	if err != nil {
		return err
	}
	defer unlock()
	c := command{repo: repo, stdin: files, args: []string{"restore"}}
	if staged {
		c.args = append(c.args, "--staged")
	}
	if worktree {
		c.args = append(c.args, "--worktree")
	}
	switch {
	case req.Source != "":
		id, err := s.revision(r.Context(), repo, "source", req.Source, "tree")
		if err != nil {
			return err
		}
		c.args = append(c.args, "--source="+id)
	case staged && !worktree:
		// Before the first commit, what is unstaged is in the index no more.
		if born, err := s.born(r.Context(), repo); err != nil {
			return err
		} else if !born {
			c.args = []string{"rm", "--cached", "-r", "--force", "--quiet"}
		}
	}
	c.args = append(c.args, "--pathspec-from-file=-", "--pathspec-file-nul")
	return s.do(r.Context(), c)
}
