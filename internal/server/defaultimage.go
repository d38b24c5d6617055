package server

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opendaytona/daytona/internal/config"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/distribution/reference"
	"github.com/google/uuid"

	recipes "github.com/opendaytona/daytona/images"
	"github.com/opendaytona/daytona/internal/build"
	"github.com/opendaytona/daytona/internal/image"
)

const (
	// hubImage is the Debian that the default image stands on where a hub gives
	// it.
	hubImage = "docker.io/library/debian:trixie-slim"
	// hubPatience is how long the hub may take to answer.
	hubPatience = 5 * time.Second
)

// made makes the default image when it is first asked for, on a Debian of the
// hub or one of packages. Its names are daytona.internal/VARIANT:VERSION, so any
// snapshot can be made of it.
type made struct {
	recipe
	base    *base
	builder func() *build.Builder // opened later than the image store
	from    func(context.Context) string
	turn    chan struct{} // holds one token: whose turn it is to build

	mu    sync.Mutex
	heard map[int]func(string) // who is told of progress
	next  int
}

func newMade(r recipe, b *base, builder func() *build.Builder, from func(context.Context) string) *made {
	m := &made{recipe: r, base: b, builder: builder, from: from, turn: make(chan struct{}, 1), heard: map[int]func(string){}}
	m.turn <- struct{}{}
	return m
}

// reference names a variant of this recipe.
func (m *made) reference(variant string) string {
	return m.base.host() + "/" + variant + ":" + m.version
}

// variant finds the variant that a reference, with a tag or digest, names.
func (m *made) variant(ref string) (string, bool) {
	for _, v := range []string{recipes.Slim, recipes.Full} {
		rest, ok := strings.CutPrefix(ref, m.base.host()+"/"+v)
		if ok && strings.HasPrefix(rest, ":") || ok && strings.HasPrefix(rest, "@") {
			return v, true
		}
	}
	return "", false
}

// successor names what replaces a default image of an older server; "" when the
// reference is to none.
func (m *made) successor(ref string) string {
	v, ok := m.variant(ref)
	if !ok && m.base.is(ref) {
		v, ok = recipes.Slim, true // what the base once was
	}
	if !ok || ref == m.reference(v) {
		return ""
	}
	return m.reference(v)
}

// pull makes the image that ref names, and lets owner hold it. Of many callers
// one builds; all are told the progress. Errors: *madeError, and build's.
func (m *made) pull(ctx context.Context, ref, variant, owner string, progress func(string)) (*image.Image, error) {
	if _, tag, ok := strings.Cut(ref, ":"); ok && !strings.Contains(ref, "@") && tag != m.version {
		return nil, madeError{ref, m.reference(variant)}
	}
	defer m.hear(progress)()
	select {
	case <-m.turn:
		defer func() { m.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	from := m.from(ctx)
	if m.base.is(from) {
		if err := m.base.ensure(ctx, m.tell); err != nil {
			return nil, err
		}
	}
	m.tell("Building " + m.reference(variant) + " on " + from)
	log := &lines{tell: m.tell}
	defer log.flush()
	return m.builder().Build(ctx, build.Request{
		ID: uuid.NewString(), Owner: owner, Dockerfile: m.dockerfile(variant, from), Log: log,
		Fill: func(_ context.Context, dir string) error { return m.fill(dir) },
	})
}

// hear lets f be told of progress until the returned function is called.
func (m *made) hear(f func(string)) (leave func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := m.next
	m.next++
	m.heard[id] = f
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.heard, id)
	}
}

func (m *made) tell(line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.heard {
		f(line)
	}
}

// lines tells what is written to it, a line at a time.
type lines struct {
	tell func(string)
	rest []byte
}

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		l.tell(string(line))
		l.rest = rest
	}
}

func (l *lines) flush() {
	if len(l.rest) > 0 {
		l.tell(string(l.rest))
	}
}

// madeError is a version of the image that this server does not make.
type madeError struct{ asked, made string }

func (e madeError) Error() string {
	return fmt.Sprintf("image %s: this server makes %s", e.asked, e.made)
}

// Message is one sentence that a user can act on (snapshot.Images).
func (e madeError) Message() string {
	return fmt.Sprintf("%s is of another version of the server; this one makes %s.", e.asked, e.made)
}

// defaultReference is what the default snapshots are made of.
func (s *server) defaultReference() string {
	switch s.DefaultImage {
	case config.DefaultImageAuto, config.DefaultImageDebian:
		return s.made.reference(recipes.Slim)
	case recipes.Slim, recipes.Full:
		return s.made.reference(s.DefaultImage)
	}
	return s.DefaultImage
}

// chooseBase decides what the default image stands on.
func (s *server) chooseBase(ctx context.Context) string {
	if s.DefaultImage == config.DefaultImageDebian {
		return s.base.reference
	}
	ctx, cancel := context.WithTimeout(ctx, hubPatience)
	defer cancel()
	hub := s.machine.hubImage
	if err := s.resolve(ctx, hub); err != nil {
		s.log.Info("default image: the hub does not give a Debian, making one of packages", "asked", hub, "image", s.base.reference, "err", err)
		return s.base.reference
	}
	s.log.Info("default image: stands on the hub's Debian", "image", hub)
	return hub
}

// resolve asks the registry, or its mirrors, whether it has the image.
func (s *server) resolve(ctx context.Context, ref string) error {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return fmt.Errorf("resolve %s: %w", ref, err)
	}
	// Without pull, the resolver asks a host for nothing but digests.
	const ask = docker.HostCapabilityPull | docker.HostCapabilityResolve
	client := &http.Client{Transport: s.transport}
	defer client.CloseIdleConnections()
	resolver := docker.NewResolver(docker.ResolverOptions{Hosts: func(host string) ([]docker.RegistryHost, error) {
		authorizer := docker.NewDockerAuthorizer(docker.WithAuthClient(client))
		var hosts []docker.RegistryHost
		for _, m := range s.Mirrors[host] {
			u, err := url.Parse(m.URL)
			if err != nil {
				return nil, err
			}
			hosts = append(hosts, docker.RegistryHost{Client: client, Authorizer: authorizer, Host: u.Host, Scheme: u.Scheme, Path: u.Path + "/v2", Capabilities: ask})
		}
		scheme := "https"
		if slices.Contains(s.PlainHTTP, host) {
			scheme = "http"
		}
		name, err := docker.DefaultHost(host)
		return append(hosts, docker.RegistryHost{Client: client, Authorizer: authorizer, Host: name, Scheme: scheme, Path: "/v2", Capabilities: ask}), err
	}})
	if _, _, err := resolver.Resolve(ctx, named.String()); err != nil {
		return fmt.Errorf("resolve %s: %w", ref, err)
	}
	return nil
}
