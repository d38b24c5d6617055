package git

import (
	"net/http"
	"strings"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

type addRequest struct {
	Path  string   `json:"path"`
	Files []string `json:"files"`
}

// add stages files, also that they are gone.
func (s *Service) add(w http.ResponseWriter, r *http.Request) error {
	var req addRequest
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	files, err := pathspecs(req.Files)
	if err != nil {
		return err
	}
	repo, unlock, err := s.change(r.Context(), req.Path)
	if err != nil {
		return err
	}
	defer unlock()
	return s.do(r.Context(), command{
		repo: repo, stdin: files,
		args: []string{"add", "--all", "--pathspec-from-file=-", "--pathspec-file-nul"},
	})
}

type commitRequest struct {
	Path       string `json:"path"`
	Message    string `json:"message"`
	Author     string `json:"author"`
	Email      string `json:"email"`
	AllowEmpty bool   `json:"allow_empty"`
}

// commit commits what is staged, with the message as it is.
func (s *Service) commit(w http.ResponseWriter, r *http.Request) error {
	var req commitRequest
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	if req.Message == "" {
		return wire.Bad("message is missing")
	}
	if strings.ContainsRune(req.Message, 0) {
		return wire.Bad("message contains a NUL byte")
	}
	for what, text := range map[string]string{"author": req.Author, "email": req.Email} {
		if strings.TrimSpace(text) == "" {
			return wire.Bad("%s is missing", what)
		}
		if strings.ContainsAny(text, "<>") || controls().MatchString(text) {
			return wire.Bad("%s %q contains one of the characters < and >, or a control character", what, text)
		}
	}
	repo, unlock, err := s.change(r.Context(), req.Path)
	if err != nil {
		return err
	}
	defer unlock()
	c := command{
		repo: repo, stdin: req.Message,
		args: []string{"commit", "--no-verify", "--no-gpg-sign", "--cleanup=verbatim", "--untracked-files=no", "--file=-"},
		env: map[string]string{
			"GIT_AUTHOR_NAME": req.Author, "GIT_AUTHOR_EMAIL": req.Email,
			"GIT_COMMITTER_NAME": req.Author, "GIT_COMMITTER_EMAIL": req.Email,
		},
	}
	if req.AllowEmpty {
		c.args = append(c.args, "--allow-empty")
	}
	if err := s.do(r.Context(), c); err != nil {
		return err
	}
	hash, err := s.resolve(r.Context(), repo, "HEAD", "commit")
	if err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, map[string]string{"hash": hash})
	return nil
}
