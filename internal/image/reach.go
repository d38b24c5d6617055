package image

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"sync/atomic"

	"github.com/opendaytona/daytona/internal/outbound"
)

// A registry sends its clients on: by redirects to where its blobs are stored,
// and to token servers. Whoever may pull may name any registry, so where it
// sends this process is anybody's wish, while this process reaches more than
// they do: its own API, services that trust the loopback, metadata services. So
// it follows only to public addresses. Storage and token servers of a registry
// on a private network are often there too; such a registry may send to private
// addresses, but not to this machine or its sandboxes. The registries that the
// configuration names may send anywhere.

// carrierGrade is shared address space (RFC 6598), as little public as what
// netip calls private.
var carrierGrade = netip.MustParsePrefix("100.64.0.0/10")

func private(a netip.Addr) bool { return a.IsPrivate() || carrierGrade.Contains(a) }

var errForbiddenAddress = errors.New("no registry may send this server to that address")

// forbid fails for addresses to which no registry may send; for those of private
// networks too unless the registry is on one.
func (s *Store) forbid(to netip.Addr, fromPrivate bool) error {
	to = to.Unmap().WithZone("")
	if !to.IsGlobalUnicast() || private(to) && !fromPrivate {
		return errForbiddenAddress
	}
	if s.CheckReach == nil {
		return nil
	}
	if err := s.CheckReach(to); err != nil {
		return fmt.Errorf("%w: %w", errForbiddenAddress, err)
	}
	return nil
}

// ways are how to get to where registries send, by where they are themselves.
type ways struct{ public, private *outbound.Transport }

func (s *Store) openWays() ways {
	return ways{
		public:  outbound.New(s.transport, func(to netip.Addr) error { return s.forbid(to, false) }),
		private: outbound.New(s.transport, func(to netip.Addr) error { return s.forbid(to, true) }),
	}
}

func (w ways) close() {
	w.public.CloseIdleConnections()
	w.private.CloseIdleConnections()
}

// configured reports whether the configuration names the registry, as a mirror
// or as one without TLS.
func (s *Store) configured(scheme, host string) bool {
	for _, mirrors := range s.Mirrors {
		for _, m := range mirrors {
			if u, err := url.Parse(m.URL); err == nil && u.Scheme == scheme && u.Host == host {
				return true
			}
		}
	}
	return scheme == "http" // by default all have TLS
}

// follow sends a request to where the registry has sent it.
func (a *authenticated) follow(r *http.Request, as role, fromPrivate bool) (*http.Response, error) {
	there := asked{r.URL.Host, a.asked().registry, as}
	if r.URL.Scheme == a.scheme && r.URL.Host == a.host {
		there = a.asked()
	}
	if a.configured || there.role == a.asked().role {
		res, err := a.next.RoundTrip(r)
		return a.store.tell(there, r, res, err)
	}
	way := a.store.ways.public
	if fromPrivate {
		way = a.store.ways.private
	}
	res, err := stallGuard{way, a.store.Stall}.RoundTrip(r)
	if errors.Is(err, errForbiddenAddress) {
		return nil, awayError{a.name, r.URL.Host}
	}
	return a.store.tell(there, r, res, err)
}

// awayError is of a registry that sends to a host to which it may not. It tells
// no more of that than the registry did.
type awayError struct{ registry, host string }

func (e awayError) Error() string {
	return fmt.Sprintf("its registry sends this server to %s, which is not at a public address; an administrator who trusts the registry names it as a mirror of itself by --mirror %s=https://%s", e.host, e.registry, e.registry)
}

type privateKey struct{}

// observed is r with a context that learns whether the registry answers from a
// private address. Behind a proxy nobody knows.
func (s *Store) observed(r *http.Request) *http.Request {
	var seen atomic.Bool
	ctx := context.WithValue(r.Context(), privateKey{}, &seen)
	via := s.transport.Proxy
	return r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
		conn := c.Conn
		if t, ok := conn.(*tls.Conn); ok {
			conn = t.NetConn()
		}
		if via != nil {
			if proxy, err := via(r); err != nil || proxy != nil {
				return
			}
		}
		at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
		seen.Store(err == nil && private(at.Addr().Unmap()) && s.forbid(at.Addr(), true) == nil)
	}}))
}

// fromPrivate reports whether the registry answered the request, which was
// observed, from a private address.
func fromPrivate(r *http.Request) bool {
	seen, ok := r.Context().Value(privateKey{}).(*atomic.Bool)
	return ok && seen.Load()
}

// origin is the request to the registry that redirects have led to r.
func origin(r *http.Request) *http.Request {
	for r.Response != nil && r.Response.Request != nil {
		r = r.Response.Request
	}
	return r
}
