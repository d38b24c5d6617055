package build

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session/auth"
	"github.com/opencontainers/go-digest"
	"google.golang.org/grpc"

	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/oci"
)

// pulls is how one build comes to the images that it stands on.
//
// BuildKit asks a build for credentials by host, which is too little where two
// repositories of a host need two, and remembers them as long as it lives. So it
// is told a ticket instead, which is good for nothing elsewhere: its requests
// come to an exchange with the ticket as their password and go on by the image
// store's own way to registries, with the build's credentials.
//
// BuildKit also takes an image that is here already for everybody's. So whether
// a build may see an image is decided before, by the registry (see gate).
type pulls struct {
	build       string // its id
	ticket      string
	credentials image.Credentials
	hosts       docker.RegistryHosts
	place       Place // nil is none
	presence    *presence

	mu     sync.Mutex
	failed *image.PullError // the first
	broken *request         // the last
}

// request is one for content that was not answered.
type request struct {
	path string
	err  *image.PullError
}

// registries is where BuildKit's requests meet the builds that they are for.
type registries struct {
	mu       sync.Mutex
	byBuild  map[string]*pulls
	byTicket map[string]*pulls
}

func (b *Builder) begin(r Request) *pulls {
	p := &pulls{build: r.ID, ticket: rand.Text(), credentials: r.Credentials, hosts: b.Images.Hosts(r.Credentials)}
	b.registries.mu.Lock()
	defer b.registries.mu.Unlock()
	b.registries.byBuild[p.build], b.registries.byTicket[p.ticket] = p, p
	return p
}

func (b *Builder) end(p *pulls) {
	b.registries.mu.Lock()
	defer b.registries.mu.Unlock()
	delete(b.registries.byBuild, p.build)
	delete(b.registries.byTicket, p.ticket)
}

// failure is why a build's error came about, if it is that an image could not be
// had; nil when it is not. BuildKit asks again after failures, so one that it
// does not tell of has passed.
func (p *pulls) failure(err error) *image.PullError {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == nil && p.broken != nil && strings.Contains(err.Error(), p.broken.path) {
		return p.broken.err
	}
	return p.failed
}

// note remembers a request that failed.
func (p *pulls) note(r *http.Request, registry string, res *http.Response, err error) {
	repository, _, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/blobs/")
	if r.Context().Err() != nil || !ok || err == nil && res.StatusCode < 400 {
		return
	}
	if err == nil {
		err = remoteerrors.ErrUnexpectedStatus{Status: res.Status, StatusCode: res.StatusCode, RequestURL: r.URL.String(), RequestMethod: r.Method}
	}
	broken := &request{r.URL.Path, image.Explain(r.Context(), registry+"/"+repository, p.credentials, err)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = broken
}

func (p *pulls) fail(err error) {
	var e *image.PullError
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == nil && errors.As(err, &e) && e.Kind != image.KindCanceled {
		p.failed = e
	}
}

// buildAttribute tells the frontend which build it works for.
const buildAttribute = "daytona-build"

// frontend is BuildKit's for Dockerfiles, behind a gate.
func (b *Builder) frontend(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
	b.registries.mu.Lock()
	p := b.registries.byBuild[c.BuildOpts().Opts[buildAttribute]]
	b.registries.mu.Unlock()
	if p == nil {
		return nil, errors.New("the build has ended")
	}
	return dockerfile.Build(ctx, &gate{c, b.Images, p})
}

// gate lets a build see those images only that their registries show it now,
// even where another build has brought them here.
type gate struct {
	gateway.Client
	images *image.Store
	pulls  *pulls
}

// ResolveImageConfig implements gateway.Client.
func (g *gate) ResolveImageConfig(ctx context.Context, ref string, o sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	defer g.pulls.waiting()()
	shown, err := g.images.Prove(ctx, ref, g.pulls.credentials)
	if err != nil {
		g.pulls.fail(err)
		return "", "", nil, err
	}
	pinned, err := oci.Pinned(ref, shown)
	if err != nil {
		return "", "", nil, err
	}
	_, dgst, config, err := g.Client.ResolveImageConfig(ctx, pinned, o)
	if err == nil {
		config, err = withArchitecture(config)
	}
	return ref, dgst, config, err
}

// withArchitecture completes the config of an image that does not say for which
// architecture it is. BuildKit would build upon it, and then not export what it
// has built.
func withArchitecture(config []byte) ([]byte, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(config, &all); err != nil {
		return nil, fmt.Errorf("read image config: %w", err)
	}
	var said string
	if text, ok := all["architecture"]; ok {
		if err := json.Unmarshal(text, &said); err != nil {
			return nil, fmt.Errorf("read architecture in image config: %w", err)
		}
	}
	if said != "" {
		return config, nil
	}
	own, err := json.Marshal(platforms.DefaultSpec().Architecture)
	if err != nil {
		return nil, err
	}
	all["architecture"] = own
	return json.Marshal(all)
}

// hosts is where BuildKit looks for a registry's images.
func (b *Builder) hosts(name string) ([]docker.RegistryHost, error) {
	hosts, err := b.Images.Hosts(nil)(name)
	for i := range hosts {
		hosts[i].Client = &http.Client{Transport: &exchange{b: b, name: name, place: i, host: hosts[i].Host, plain: hosts[i].Client.Transport}}
	}
	return hosts, err
}

// exchange takes the ticket off a request and sends it on as its build's.
type exchange struct {
	b     *Builder
	name  string
	place int // among the registry's hosts
	host  string
	plain http.RoundTripper // without credentials
}

// RoundTrip implements http.RoundTripper.
func (e *exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	_, ticket, _ := r.BasicAuth()
	r = r.Clone(r.Context())
	r.Header.Del("Authorization")
	if r.URL.Host != e.host { // a redirect
		if p := redirected(r); p != nil {
			return awaiting{e.plain, p.waiting}.RoundTrip(r)
		}
		return e.plain.RoundTrip(r)
	}
	e.b.registries.mu.Lock()
	p := e.b.registries.byTicket[ticket]
	e.b.registries.mu.Unlock()
	if p == nil {
		return &http.Response{
			StatusCode: http.StatusUnauthorized, Status: "401 Unauthorized", Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor,
			Header: http.Header{"Www-Authenticate": {`Basic realm="ticket"`}}, Body: http.NoBody, Request: r,
		}, nil
	}
	hosts, err := p.hosts(e.name)
	if err != nil {
		return nil, err
	}
	res, err := awaiting{hosts[e.place].Client.Transport, p.waiting}.RoundTrip(r)
	p.note(r, e.name, res, err)
	if err == nil {
		res.Request = r.WithContext(context.WithValue(r.Context(), forBuild{}, p))
	}
	return res, err
}

// forBuild is the key of the build that a request was for, in its context.
type forBuild struct{}

// redirected is the build whose request was answered by the redirect that r
// follows.
func redirected(r *http.Request) *pulls {
	for r.Response != nil && r.Response.Request != nil {
		r = r.Response.Request
		if p, ok := r.Context().Value(forBuild{}).(*pulls); ok {
			return p
		}
	}
	return nil
}

// ticket is what a build tells BuildKit for a password.
type ticket string

// Register implements session.Attachable.
func (t ticket) Register(s *grpc.Server) { auth.RegisterAuthServer(s, tickets{ticket: string(t)}) }

type tickets struct {
	auth.UnimplementedAuthServer
	ticket string
}

// Credentials implements auth.AuthServer.
func (t tickets) Credentials(context.Context, *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	return &auth.CredentialsResponse{Username: "build", Secret: t.ticket}, nil
}
