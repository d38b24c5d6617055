package build

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/source"
	srctypes "github.com/moby/buildkit/source/types"
	"github.com/moby/buildkit/util/tracing"
)

// What ADD fetches from a URL is fetched by this process, which reaches more
// than a step may: its own API, services that trust the loopback, metadata
// services. So it is held to what a step reaches, by address and at the moment
// of connecting, whatever a name resolves to by then and wherever a redirection
// leads.

// ErrForbiddenAddress is the failure of an ADD from where no build may reach.
var ErrForbiddenAddress = errors.New("a build may not fetch from this machine, its sandboxes, or a link-local, loopback or reserved address")

func fetchTransport(check func(netip.Addr) error) http.RoundTripper {
	return tracing.NewTransport(guardedTransport(check, http.ProxyFromEnvironment))
}

func guardedTransport(check func(netip.Addr) error, proxy func(*http.Request) (*url.URL, error)) http.RoundTripper {
	guarded := &net.Dialer{Timeout: 15 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrForbiddenAddress, err)
		}
		return forbid(check, to.Addr())
	}}
	base := &http.Transport{TLSHandshakeTimeout: 15 * time.Second, ResponseHeaderTimeout: time.Minute, IdleConnTimeout: 30 * time.Second, MaxIdleConns: 16, ForceAttemptHTTP2: true}
	direct := base.Clone()
	direct.DialContext = guarded.DialContext
	// The operator's proxy may be anywhere, and what it reaches is the
	// operator's decision, but for addresses that tell at once.
	through := base.Clone()
	through.Proxy = proxy
	through.DialContext = (&net.Dialer{Timeout: 15 * time.Second}).DialContext
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		via, err := proxy(r)
		if err != nil {
			return nil, err
		}
		if via == nil {
			return direct.RoundTrip(r)
		}
		found, err := net.DefaultResolver.LookupNetIP(r.Context(), "ip", r.URL.Hostname())
		var unknown *net.DNSError // only the proxy may know the name
		if err != nil && !errors.As(err, &unknown) {
			return nil, err
		}
		for _, to := range found {
			if err := forbid(check, to); err != nil {
				return nil, err
			}
		}
		return through.RoundTrip(r)
	})
}

func forbid(check func(netip.Addr) error, to netip.Addr) error {
	if err := check(to); err != nil {
		return fmt.Errorf("%w: %w", ErrForbiddenAddress, err)
	}
	return nil
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// errGit answers an ADD of a repository: BuildKit would run the host's git
// program, as root and outside of any sandbox.
var errGit = errors.New("ADD does not fetch git repositories here: clone it by git in a RUN, or ADD the archive that its host offers")

// noGit is the source of git repositories.
type noGit struct{}

// Schemes implements source.Source.
func (noGit) Schemes() []string { return []string{srctypes.GitScheme} }

// Identifier implements source.Source.
func (noGit) Identifier(string, string, map[string]string, *pb.Platform) (source.Identifier, error) {
	return nil, errGit
}

// Resolve implements source.Source.
func (noGit) Resolve(context.Context, source.Identifier, *session.Manager, solver.Vertex) (source.SourceInstance, error) {
	return nil, errGit
}
