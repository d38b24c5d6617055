package git

import (
	"net/http"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

type initRequest struct {
	Path          string `json:"path"`
	Bare          bool   `json:"bare"`
	InitialBranch string `json:"initial_branch"`
}

func (s *Service) initialize(w http.ResponseWriter, r *http.Request) error {
	var req initRequest
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	c := command{args: []string{"init", "--quiet"}}
	if req.Bare {
		c.args = append(c.args, "--bare")
	}
	if req.InitialBranch != "" {
		branch, err := branchName("initial_branch", req.InitialBranch)
		if err != nil {
			return err
		}
		c.args = append(c.args, "--initial-branch="+branch)
	}
	p, release, err := s.claim(r.Context(), req.Path)
	if err != nil {
		return err
	}
	defer release()
	c.args = append(c.args, "--", p.path)
	if err := s.do(r.Context(), c); err != nil {
		s.clear(p)
		return err
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}
