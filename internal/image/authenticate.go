package image

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
)

// authenticated is the way to one registry, or to one mirror: it answers the
// registry's challenges with what the repository of each request needs. So two
// repositories of one host may need two credentials, and a token that expires in
// the middle of a pull costs one more request. Where a redirect leads elsewhere,
// nothing is told.
type authenticated struct {
	store       *Store
	name        string // of the registry in references
	mirrors     string // the registry in whose place this one is asked; "" for none
	scheme      string
	host        string // that is asked
	path        string // of its API
	configured  bool   // may send anywhere (reach.go)
	credentials Credentials
	next        http.RoundTripper
}

// repository is what a request is about; ok is false when it does not go to the
// registry's API.
func (a *authenticated) repository(u *url.URL) (r Repository, ok bool) {
	rest, below := strings.CutPrefix(u.Path, a.path+"/")
	if u.Host != a.host || u.Scheme != a.scheme || !below {
		return r, false
	}
	for _, kind := range []string{"/manifests/", "/blobs/", "/referrers/", "/tags/"} {
		if i := strings.LastIndex(rest, kind); i > 0 {
			return Repository{a.name, rest[:i]}, true
		}
	}
	return Repository{Host: a.name}, rest == ""
}

// RoundTrip implements http.RoundTripper. The requests have no body.
func (a *authenticated) RoundTrip(r *http.Request) (*http.Response, error) {
	repository, ok := a.repository(r.URL)
	if !ok {
		res, err := a.follow(r, redirected, fromPrivate(origin(r)))
		if err != nil {
			return nil, err
		}
		return settled(res), nil // elsewhere nobody is to say who we are
	}
	r = a.store.observed(r)
	ctx := r.Context()
	c, err := a.credentials.find(ctx, repository)
	if err != nil {
		return nil, err
	}
	if c != nil && c.Transport != nil {
		inside := r.Clone(ctx)
		inside.URL.Path, inside.URL.RawPath = "/v2"+strings.TrimPrefix(r.URL.Path, a.path), ""
		return c.Transport.RoundTrip(inside)
	}
	known := a.authorizer(c, repository, nil)
	res, err := a.try(known, r)
	if errors.Is(err, context.Canceled) && ctx.Err() == nil {
		return a.RoundTrip(r) // another one left, who was fetching the token
	}
	if err != nil || res.StatusCode != http.StatusUnauthorized {
		return res, err
	}
	// The first request, or what was known has expired or was changed.
	var anew *tokens
	if c, err = a.credentials.find(ctx, repository); err == nil {
		anew = a.authorizer(c, repository, known)
	}
	if err == nil {
		anew.fromPrivate.Store(fromPrivate(r))
	}
	if err == nil && anew.AddResponses(ctx, []*http.Response{res}) != nil {
		return settled(res), nil // it wants what we do not have
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	if closeErr := res.Body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, err
	}
	if res, err = a.try(anew, r); err != nil {
		return nil, err
	}
	return settled(res), nil
}

func (a *authenticated) try(t *tokens, r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Del("Authorization")
	if err := t.Authorize(r.Context(), r); err != nil {
		a.store.forget(t) // it would remember the error
		return nil, &tokenError{err}
	}
	res, err := a.next.RoundTrip(r)
	return a.store.tell(a.asked(), r, res, err)
}

// asked is the host as it is told of.
func (a *authenticated) asked() asked {
	if a.mirrors != "" {
		return asked{a.host, a.mirrors, mirror}
	}
	return asked{a.host, a.name, itself}
}

// settled takes the challenge off an answer: it was met, as far as it is to be.
func settled(res *http.Response) *http.Response {
	res.Header.Del("WWW-Authenticate")
	return res
}

// tokens are those for a repository and a credential. They serve all pulls and
// builds with that credential, until they are refused.
type tokens struct {
	docker.Authorizer
	key         [sha256.Size]byte
	fromPrivate atomic.Bool // the registry that names their server is at a private address
}

// authorizer finds the tokens for a repository and its credential, other than the
// refused ones.
func (a *authenticated) authorizer(c *Credential, r Repository, refused *tokens) *tokens {
	if c == nil {
		c = &Credential{}
	}
	s := a.store
	key := sha256.Sum256([]byte(strings.Join([]string{a.scheme, a.host, r.Name, c.User, c.Secret}, "\x00")))
	s.tokensMu.Lock()
	defer s.tokensMu.Unlock()
	if known, ok := s.tokens.Get(key); ok && known != refused {
		return known
	}
	fresh := &tokens{key: key}
	client := &http.Client{Transport: guardedRealm{a, fresh}}
	fresh.Authorizer = docker.NewDockerAuthorizer(docker.WithAuthClient(client), docker.WithAuthCreds(
		func(string) (string, string, error) { return c.User, c.Secret, nil },
	))
	s.tokens.Add(key, fresh)
	return fresh
}

func (s *Store) forget(t *tokens) {
	s.tokensMu.Lock()
	defer s.tokensMu.Unlock()
	if known, ok := s.tokens.Peek(t.key); ok && known == t {
		s.tokens.Remove(t.key)
	}
}

// guardedRealm speaks to the token server that a registry names, which must not
// be less safe than the registry: it gets the password, and what it answers goes
// to the registry, which nothing inside a network should (metadata services
// speak without TLS).
type guardedRealm struct {
	registry *authenticated
	tokens   *tokens
}

// RoundTrip implements http.RoundTripper.
func (g guardedRealm) RoundTrip(r *http.Request) (*http.Response, error) {
	if g.registry.scheme == "https" && r.URL.Scheme != "https" {
		return nil, realmError(r.URL.Host)
	}
	return g.registry.follow(r, realm, g.tokens.fromPrivate.Load())
}

// realmError is the host of a token server that is not asked.
type realmError string

func (e realmError) Error() string {
	return "its registry, which has TLS, names a token server without, " + string(e)
}

// tokenError is what a registry's token server says, or keeps from saying.
type tokenError struct{ error }

func (e *tokenError) Unwrap() error { return e.error }

// kind tells a refusal from a failure.
func (e *tokenError) kind() Kind {
	var status remoteerrors.ErrUnexpectedStatus
	var realm realmError
	switch {
	case errors.As(e.error, &realm):
		return KindCredentials
	case !errors.As(e.error, &status):
		return ""
	case status.StatusCode == http.StatusTooManyRequests, status.StatusCode >= 500:
		return KindUnreachable
	}
	return KindUnauthorized
}

// Hosts tells where a registry's images are, for pulls and builds alike: its
// mirrors, then the registry itself. Each is asked with the credentials of its
// own name only.
func (s *Store) Hosts(c Credentials) docker.RegistryHosts {
	next := stallGuard{s.transport, s.Stall}
	return func(name string) ([]docker.RegistryHost, error) {
		var out []docker.RegistryHost
		add := func(name, mirrors, scheme, host, path string) {
			client := &http.Client{Transport: selfContained{&authenticated{
				store: s, name: name, mirrors: mirrors, scheme: scheme, host: host, path: path, configured: s.configured(scheme, host), credentials: c, next: next,
			}}}
			out = append(out, docker.RegistryHost{
				Client: client, Host: host, Scheme: scheme, Path: path, Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve,
			})
		}
		for _, m := range s.Mirrors[name] {
			u, err := url.Parse(m.URL)
			if err != nil || u.Host == "" {
				return nil, fmt.Errorf("mirror %q of %s is not a URL", m.URL, name)
			}
			add(u.Host, name, u.Scheme, u.Host, u.Path+"/v2")
		}
		scheme, host := s.address(name)
		add(name, "", scheme, host, "/v2")
		return out, nil
	}
}

// address is where a registry itself answers.
func (s *Store) address(name string) (scheme, host string) {
	scheme, host = "https", name
	if slices.Contains(s.PlainHTTP, name) {
		scheme = "http"
	}
	if name == dockerHub {
		host = "registry-1.docker.io"
	}
	return scheme, host
}

// dockerHub is the registry of references that name none.
const dockerHub = "docker.io"

// Try asks a registry whether it knows the credential. One that shows
// everything to everybody takes any. Errors: *PullError, whose Reference is the
// registry.
func (s *Store) Try(ctx context.Context, registry string, c Credential) error {
	err := s.try(ctx, registry, c)
	if err == nil {
		return nil
	}
	return &PullError{Kind: classify(err), Reference: registry, Entry: c.Entry, Err: err}
}

func (s *Store) try(ctx context.Context, registry string, c Credential) error {
	hosts, err := s.Hosts(func(context.Context, Repository) (*Credential, error) { return &c, nil })(registry)
	if err != nil {
		return err
	}
	itself := hosts[len(hosts)-1]
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, itself.Scheme+"://"+itself.Host+itself.Path+"/", nil)
	if err != nil {
		return err
	}
	res, err := itself.Client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		return remoteerrors.NewUnexpectedStatusErr(res)
	}
	return nil
}
