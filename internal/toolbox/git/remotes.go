package git

import (
	"context"
	"net/http"
	"strings"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// remote is a remote as the API tells of it.
type remote struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

func (s *Service) listRemotes(w http.ResponseWriter, r *http.Request) error {
	repo, err := s.open(r.URL.Query().Get("path"))
	if err != nil {
		return err
	}
	remotes, err := s.remotes(r.Context(), repo)
	if err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, map[string][]remote{"remotes": remotes})
	return nil
}

// remotes lists each with its first URL, without a password in it.
func (s *Service) remotes(ctx context.Context, repo *repository) ([]remote, error) {
	run, err := s.run(ctx, command{repo: repo, args: []string{"config", "-z", "--get-regexp", `^remote\..*\.url$`}})
	if err != nil {
		return nil, err
	}
	defer run.Close()
	all := []remote{}
	switch run.code {
	case 0:
	case 1: // there is none
		return all, nil
	default:
		return nil, failure(command{}, run)
	}
	seen := map[string]bool{}
	for in := newFields(run.stdout.Seal()); ; {
		entry, err := in.next()
		if err != nil {
			return all, nil // git has ended with success, so this is the end
		}
		key, url, _ := strings.Cut(entry, "\n")
		name := strings.TrimSuffix(strings.TrimPrefix(key, "remote."), ".url")
		if !seen[name] {
			seen[name] = true
			all = append(all, remote{textOf(name), textOf(withoutPassword(url))})
		}
	}
}

type addRemoteRequest struct {
	Path      string `json:"path"`
	Name      string `json:"name"`
	URL       string `json:"url"`
	Fetch     bool   `json:"fetch"`
	Overwrite bool   `json:"overwrite"`
}

func (s *Service) addRemote(w http.ResponseWriter, r *http.Request) error {
	var req addRemoteRequest
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	name, err := branchName("name", req.Name)
	if err != nil {
		return err
	}
	to, err := parseAddress(req.URL)
	if err != nil {
		return err
	}
	if to.password != "" {
		return wire.Bad("url has a password, which everything that runs in the sandbox could read from then on: leave it out, and give username and password to push and pull, or store them once by POST /git/credentials")
	}
	if strings.HasPrefix(to.url, "~") {
		if to.url, err = s.launcher.Path(to.url); err != nil {
			return err
		}
	}
	repo, unlock, err := s.change(r.Context(), req.Path)
	if err != nil {
		return err
	}
	defer unlock()
	added, err := s.setRemote(r.Context(), repo, name, to.url, req.Overwrite)
	if err != nil {
		return err
	}
	if req.Fetch {
		if err := s.do(r.Context(), command{repo: repo, args: []string{"fetch", "--quiet", "--no-recurse-submodules", "--", name}}); err != nil {
			e := wire.From(err)
			return wire.Errorf(e.Status, e.Code, "remote %q was %s, but nothing could be fetched from it: %s", name, added, e.Message)
		}
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

// setRemote adds a remote, or makes of the one with this name a new one; branches
// keep it as their upstream. added tells which.
func (s *Service) setRemote(ctx context.Context, repo *repository, name, url string, overwrite bool) (added string, err error) {
	_, exists, err := s.look(ctx, command{repo: repo, args: []string{"config", "--get", "remote." + name + ".url"}})
	if err != nil {
		return "", err
	}
	if !exists || !overwrite {
		return "added", s.do(ctx, command{repo: repo, args: []string{"remote", "add", "--", name, url}})
	}
	if _, _, err := s.look(ctx, command{repo: repo, args: []string{"config", "--unset-all", "remote." + name + ".pushurl"}}); err != nil {
		return "", err
	}
	for key, value := range map[string]string{"fetch": everyBranch(name), "url": url} {
		if err := s.do(ctx, command{repo: repo, args: []string{"config", "--replace-all", "remote." + name + "." + key, value}}); err != nil {
			return "", err
		}
	}
	return "changed", nil
}

// everyBranch is where fetches put the branches of a remote by default.
func everyBranch(remote string) string { return "+refs/heads/*:refs/remotes/" + remote + "/*" }
