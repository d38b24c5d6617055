package git

import (
	"context"
	"net/http"
	"strings"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// configKey is section.name or section.sub.section.name.
var configKey = lazy(`^[A-Za-z0-9-]+\.([^\n\x00]*\.)?[A-Za-z][A-Za-z0-9-]*$`)

// scope is one of git's files of settings.
type scope struct {
	option string
	repo   *repository // of the local one
	unlock func()
}

// scope finds the scope of a request, and keeps others from changing it until it
// is unlocked.
func (s *Service) scope(ctx context.Context, name, path string) (scope, error) {
	key := "config " + name
	switch name {
	case "", "global":
		key, name = "config global", "global"
	case "system":
	case "local":
		if path == "" {
			return scope{}, wire.Bad("path is missing: scope local is that of a repository")
		}
		repo, unlock, err := s.change(ctx, path)
		return scope{"--local", repo, unlock}, err
	default:
		return scope{}, wire.Bad("scope %q is not one of global, local and system", name)
	}
	unlock, err := s.changes.Lock(ctx, key)
	if err != nil {
		return scope{}, wire.Errorf(http.StatusRequestTimeout, wire.RequestTimeout, "the client went away while another request changed git's settings")
	}
	return scope{"--" + name, nil, unlock}, nil
}

func checkKey(key string) error {
	if key == "" {
		return wire.Bad("key is missing")
	}
	if !configKey().MatchString(key) {
		return wire.Bad("key %q is not valid: write it as section.name or section.subsection.name", key)
	}
	return nil
}

func (s *Service) getConfig(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if err := checkKey(q.Get("key")); err != nil {
		return err
	}
	from, err := s.scope(r.Context(), q.Get("scope"), q.Get("path"))
	if err != nil {
		return err
	}
	defer from.unlock()
	c := command{repo: from.repo, args: []string{"config", from.option, "-z", "--get", q.Get("key")}}
	run, err := s.run(r.Context(), c)
	if err != nil {
		return err
	}
	defer run.Close()
	var answer struct {
		Value *string `json:"value"`
	}
	switch run.code {
	case 0:
		value, err := newFields(run.stdout.Seal()).next()
		if err != nil {
			return err
		}
		answer.Value = &value
	case 1: // it is not set, or there is no file
	default:
		return failure(c, run)
	}
	wire.JSON(w, http.StatusOK, answer)
	return nil
}

type setConfigRequest struct {
	Key   string  `json:"key"`
	Value *string `json:"value"`
	Scope string  `json:"scope"`
	Path  string  `json:"path"`
}

func (s *Service) setConfig(w http.ResponseWriter, r *http.Request) error {
	var req setConfigRequest
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	if err := checkKey(req.Key); err != nil {
		return err
	}
	if req.Value == nil {
		return wire.Bad("value is missing")
	}
	return s.configure(r.Context(), req.Scope, req.Path, [2]string{req.Key, *req.Value})
}

type configureUserRequest struct {
	Name  string `json:"name"`
	Email string `json:"email"`
	Scope string `json:"scope"`
	Path  string `json:"path"`
}

func (s *Service) configureUser(w http.ResponseWriter, r *http.Request) error {
	var req configureUserRequest
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	if req.Name == "" || req.Email == "" {
		return wire.Bad("name and email are both needed")
	}
	return s.configure(r.Context(), req.Scope, req.Path, [2]string{"user.name", req.Name}, [2]string{"user.email", req.Email})
}

// configure sets values, in place of all that each key has in that scope.
func (s *Service) configure(ctx context.Context, scopeName, path string, settings ...[2]string) error {
	for _, setting := range settings {
		if strings.ContainsRune(setting[1], 0) {
			return wire.Bad("the value of %s contains a NUL byte", setting[0])
		}
	}
	to, err := s.scope(ctx, scopeName, path)
	if err != nil {
		return err
	}
	defer to.unlock()
	for _, setting := range settings {
		if err := s.do(ctx, command{repo: to.repo, args: []string{"config", to.option, "--replace-all", setting[0], setting[1]}}); err != nil {
			return err
		}
	}
	return nil
}
