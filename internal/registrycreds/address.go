package registrycreds

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/distribution/reference"

	"github.com/opendaytona/daytona/internal/fault"
)

// dockerHub is the registry of references without a host, under its name in
// references. The others are names of it that people and programs use.
const dockerHub = "docker.io"

var hubNames = map[string]bool{
	dockerHub: true, "index.docker.io": true, "registry-1.docker.io": true, "registry.hub.docker.com": true, "hub.docker.com": true,
}

// address is what an entry is for: a host, and the repositories below a path.
type address struct {
	host string   // with its port
	path []string // none is everything
}

var (
	hostPattern = regexp.MustCompile(`^` + reference.DomainRegexp.String() + `$`)
	partPattern = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`)
)

// parseAddress reads an entry's URL and project: ghcr.io, https://ghcr.io/acme,
// registry.example:5000, https://index.docker.io/v1/, or acme for Docker Hub's.
// Errors: fault.KindInvalid.
func parseAddress(url, project string) (a address, err error) {
	bad := func(why string) error {
		return fault.Invalid("url", fmt.Sprintf("The registry's URL %q is not valid (%s): write it as in image references, such as ghcr.io or registry.example:5000.", url, why))
	}
	rest, scheme := strings.TrimSpace(url), false
	if before, after, found := strings.Cut(rest, "://"); found {
		if before != "https" && before != "http" {
			return a, bad("it begins with " + before + "://")
		}
		rest, scheme = after, true
	}
	if strings.ContainsAny(rest, "@?#") {
		return a, bad("it has one of @ ? #")
	}
	host, path, _ := strings.Cut(rest, "/")
	host = strings.ToLower(host)
	if !scheme && !strings.ContainsAny(host, ".:") && host != "localhost" {
		host, path = dockerHub, rest // as in references
	}
	if !hostPattern.MatchString(host) {
		return a, bad("its host is " + host)
	}
	if !strings.ContainsAny(host, ".:") && host != "localhost" {
		return a, bad("no image reference can name the host " + host + ", which has neither a dot nor a port")
	}
	a.host = canonicalHost(host)
	// What clients add to reach the API is no part of names.
	if path = strings.Trim(path, "/"); path == "v1" || path == "v2" {
		path = ""
	}
	if a.path, err = parts(path); err != nil {
		return a, bad(err.Error())
	}
	below, err := parts(strings.Trim(strings.TrimSpace(project), "/"))
	if err != nil {
		return a, fault.Invalid("project", fmt.Sprintf("The project %q is not valid (%v): write it as in image references, such as acme or acme/tools, or leave it out.", project, err))
	}
	a.path = append(a.path, below...)
	return a, nil
}

func parts(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	out := strings.Split(path, "/")
	for _, p := range out {
		if !partPattern.MatchString(p) {
			return nil, fmt.Errorf("%q cannot be part of an image's name", p)
		}
	}
	return out, nil
}

func canonicalHost(host string) string {
	if hubNames[host] {
		return dockerHub
	}
	return host
}

// holds reports whether the repository is below the address.
func (a address) holds(host, repository string) bool {
	if a.host != canonicalHost(strings.ToLower(host)) {
		return false
	}
	name := strings.Split(repository, "/")
	if len(a.path) > len(name) {
		return false
	}
	for i, p := range a.path {
		if name[i] != p {
			return false
		}
	}
	return true
}

// match finds the entry for a repository: the one with the longest path that
// holds it; of two alike the one that was changed last. nil is none.
func match(all []*Registry, host, repository string) *Registry {
	var best *Registry
	var longest int
	for _, r := range all {
		a, err := parseAddress(r.URL, r.Project)
		if err != nil || !a.holds(host, repository) {
			continue
		}
		if n := len(a.path); best == nil || n > longest || n == longest && r.UpdatedAt.After(best.UpdatedAt) {
			best, longest = r, n
		}
	}
	return best
}
