package build

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/source"
	srctypes "github.com/moby/buildkit/source/types"
	"github.com/moby/buildkit/util/tracing"

	"github.com/opendaytona/daytona/internal/outbound"
)

// What ADD fetches from a URL is fetched by this process, which reaches more
// than a step may: its own API, services that trust the loopback, metadata
// services. So it is held to what a step reaches, by address and at the moment
// of connecting, whatever a name resolves to by then and wherever a redirection
// leads.

// ErrForbiddenAddress is the failure of an ADD from where no build may reach.
var ErrForbiddenAddress = errors.New("a build may not fetch from this machine, its sandboxes, or a link-local, loopback or reserved address")

func fetchTransport(check func(netip.Addr) error) http.RoundTripper {
	base := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 15 * time.Second, ResponseHeaderTimeout: time.Minute, IdleConnTimeout: 30 * time.Second, MaxIdleConns: 16, ForceAttemptHTTP2: true,
	}
	return tracing.NewTransport(outbound.New(base, func(to netip.Addr) error { return forbid(check, to) }))
}

func forbid(check func(netip.Addr) error, to netip.Addr) error {
	if err := check(to); err != nil {
		return fmt.Errorf("%w: %w", ErrForbiddenAddress, err)
	}
	return nil
}

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
