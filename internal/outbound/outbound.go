// Package outbound is the way out for what this process fetches because
// somebody else says so: it holds HTTP requests to the addresses that a check
// allows. It imports no other package of the project.
package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

const dialTimeout = 15 * time.Second

// Transport fetches from where its check allows. The check is made on the
// address and at the moment of connecting, whatever a name resolves to by then.
type Transport struct {
	check           func(netip.Addr) error
	direct, through *http.Transport
}

// New makes a transport like base. Requests fail by check's error, wrapped.
// What base's proxy reaches is the decision of whoever runs it, but for names
// and addresses that tell at once.
func New(base *http.Transport, check func(netip.Addr) error) *Transport {
	t := &Transport{check: check, direct: base.Clone(), through: base.Clone()}
	t.direct.Proxy = nil
	t.direct.DialTLSContext = nil
	t.direct.DialContext = (&net.Dialer{Timeout: dialTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("connect to %q: %w", address, err)
		}
		return check(to.Addr())
	}}).DialContext
	return t
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.through.Proxy == nil {
		return t.direct.RoundTrip(r)
	}
	via, err := t.through.Proxy(r)
	if err != nil {
		return nil, fmt.Errorf("find the proxy for %s: %w", r.URL.Host, err)
	}
	if via == nil {
		return t.direct.RoundTrip(r)
	}
	if err := t.checkName(r.Context(), r.URL.Hostname()); err != nil {
		return nil, err
	}
	return t.through.RoundTrip(r)
}

func (t *Transport) checkName(ctx context.Context, name string) error {
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	var unknown *net.DNSError // only the proxy may know the name
	if err != nil && !errors.As(err, &unknown) {
		return err
	}
	for _, to := range found {
		if err := t.check(to); err != nil {
			return err
		}
	}
	return nil
}

// CloseIdleConnections closes what is open and not in use.
func (t *Transport) CloseIdleConnections() {
	t.direct.CloseIdleConnections()
	t.through.CloseIdleConnections()
}
