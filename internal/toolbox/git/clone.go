package git

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

type cloneRequest struct {
	URL             string `json:"url"`
	Path            string `json:"path"`
	Branch          string `json:"branch"`
	CommitID        string `json:"commit_id"`
	Depth           int    `json:"depth"`
	Username        string `json:"username"`
	Password        string `json:"password"`
	InsecureSkipTLS bool   `json:"insecure_skip_tls"`
}

// clone brings a repository in two steps: the fetching, by programs of git alone
// and with the credentials, and then without them the files, for which programs
// that the user has configured may run.
func (s *Service) clone(w http.ResponseWriter, r *http.Request) (err error) {
	var req cloneRequest
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	from, err := parseAddress(req.URL)
	if err != nil {
		return err
	}
	if from.local {
		if from.url, err = s.localURL(from.url, req.Depth > 0); err != nil {
			return err
		}
	}
	fetched, err := s.fetching(r.Context(), req, from)
	if err != nil {
		return err
	}
	p, release, err := s.claim(r.Context(), req.Path)
	if err != nil {
		return err
	}
	defer release()
	if p.there && !p.empty {
		return wire.Errorf(http.StatusConflict, wire.Conflict, "%s is not empty: choose another path, or delete what is in it", p.path)
	}
	fetched.args = append(fetched.args, "--", from.url, p.path)
	if err := s.do(r.Context(), fetched); err != nil {
		if !hasCode(err, wire.Conflict) { // somebody else has made it meanwhile
			s.clear(p)
		}
		return err
	}
	defer func() {
		if err != nil {
			s.clear(p)
		}
	}()
	repo, err := s.open(p.path)
	if err != nil {
		return err
	}
	// Other branches are not there yet, but may be fetched and pushed.
	if err := s.do(r.Context(), command{repo: repo, args: []string{"config", "--replace-all", "remote.origin.fetch", everyBranch("origin")}}); err != nil {
		return err
	}
	c := command{repo: repo, args: []string{"checkout", "--quiet"}, env: lfs(fetched.secret)}
	if req.CommitID != "" {
		id, err := s.commitOf(r.Context(), repo, req, fetched)
		if err != nil {
			return err
		}
		c.args = append(c.args, "--detach", id, "--")
	} else if born, err := s.born(r.Context(), repo); err != nil || !born {
		return err // an empty repository has no files
	}
	return s.do(r.Context(), c)
}

// fetching is the command that brings everything but the files, without the two
// places.
func (s *Service) fetching(ctx context.Context, req cloneRequest, from address) (command, error) {
	c := command{
		args: []string{"clone", "--quiet", "--no-checkout", "--single-branch", "--no-recurse-submodules", "--origin", "origin"},
		env:  map[string]string{},
	}
	if req.CommitID != "" && !commitID().MatchString(req.CommitID) {
		return c, wire.Bad("commit_id %q is not a commit's: it has 4 to 64 hexadecimal digits", req.CommitID)
	}
	if req.Depth < 0 {
		return c, wire.Bad("depth must be the number of commits, or 0 for all; it is %d", req.Depth)
	}
	if req.Depth > 0 {
		c.args = append(c.args, "--depth", strconv.Itoa(req.Depth))
	}
	if req.Branch != "" {
		branch, err := branchName("branch", req.Branch)
		if err != nil {
			return c, err
		}
		c.args = append(c.args, "--branch", branch)
	}
	if req.InsecureSkipTLS {
		c.env["GIT_SSL_NO_VERIFY"] = "1"
	}
	// The user may have configured that another server is meant.
	meant, err := s.ask(ctx, command{args: []string{"ls-remote", "--get-url", from.url}})
	if err != nil {
		return c, err
	}
	if req.Username == "" || req.Password == "" {
		req.Username, req.Password = from.user, from.password
	}
	c.secret, err = newSecret(req.Username, req.Password, meant)
	return c, err
}

// commitID is what the id of a commit looks like, or its beginning.
var commitID = lazy(`^[0-9A-Fa-f]{4,64}$`)

// commitOf finds the commit of the request, and brings it when it is in another
// branch, or further back than the depth.
func (s *Service) commitOf(ctx context.Context, repo *repository, req cloneRequest, fetched command) (string, error) {
	wanted := strings.ToLower(req.CommitID)
	id, err := s.resolve(ctx, repo, wanted, "commit")
	if err != nil || id != "" {
		return id, err
	}
	again := func(args ...string) error {
		c := fetched
		c.repo, c.args = repo, append([]string{"fetch", "--quiet", "--no-recurse-submodules", "--no-tags"}, args...)
		return s.do(ctx, c)
	}
	if len(wanted) == 40 || len(wanted) == 64 {
		depth := []string{"origin", wanted}
		if req.Depth > 0 {
			depth = append([]string{"--depth", strconv.Itoa(req.Depth)}, depth...)
		}
		// Servers may give branches and tags only.
		if err := again(depth...); err != nil && !hasCode(err, wire.NotFound) {
			return "", err
		}
		if id, err = s.resolve(ctx, repo, wanted, "commit"); err != nil || id != "" {
			return id, err
		}
	}
	shallow, err := s.ask(ctx, command{repo: repo, args: []string{"rev-parse", "--is-shallow-repository"}})
	if err != nil {
		return "", err
	}
	everything := []string{"origin", "+refs/heads/*:" + aside + "heads/*", "+refs/tags/*:" + aside + "tags/*"}
	if shallow == "true" {
		everything = append([]string{"--unshallow"}, everything...)
	}
	if err := again(everything...); err != nil {
		return "", err
	}
	if id, err = s.resolve(ctx, repo, wanted, "commit"); err != nil {
		return "", err
	}
	if id == "" {
		return "", wire.Errorf(http.StatusNotFound, wire.NotFound, "commit %s is in no branch or tag of the repository, or it is the beginning of several ids", req.CommitID)
	}
	refs, err := s.ask(ctx, command{repo: repo, args: []string{"for-each-ref", "--format=delete %(refname)", aside}})
	if err != nil {
		return "", err
	}
	return id, s.do(ctx, command{repo: repo, args: []string{"update-ref", "--stdin"}, stdin: refs + "\n"})
}

// aside is where branches and tags stand while a commit is looked for in them: the
// clone is to have the one branch only.
const aside = "refs/clone/"

func hasCode(err error, code wire.Code) bool {
	var e *wire.Error
	return errors.As(err, &e) && e.Code == code
}

// claim surveys a path at which a repository is to be made, and keeps other
// requests from making one there until it is released.
func (s *Service) claim(ctx context.Context, path string) (p place, release func(), err error) {
	if path, err = s.launcher.Path(path); err != nil {
		return p, nil, err
	}
	if release, err = s.changes.Lock(ctx, path); err != nil {
		return p, nil, wire.Errorf(http.StatusRequestTimeout, wire.RequestTimeout, "the client went away while another request worked at %s", path)
	}
	err = s.launcher.AsUser(func() (err error) {
		p, err = survey(path)
		return err
	})
	if err != nil {
		release()
		return p, nil, err
	}
	return p, release, nil
}

// clear undoes what was made at p, with the user's rights.
func (s *Service) clear(p place) {
	_ = s.launcher.AsUser(func() error { // who cannot remove it could not make it
		p.clear()
		return nil
	})
}

// localURL is the absolute path of a repository in the sandbox, or its URL: by
// the path git copies all that is there, whatever depth is asked for.
func (s *Service) localURL(text string, shallow bool) (string, error) {
	if strings.HasPrefix(text, "file://") {
		return text, nil
	}
	path, err := s.launcher.Path(text)
	if err == nil && shallow {
		return "file://" + path, nil
	}
	return path, err
}
