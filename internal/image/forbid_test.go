package image

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"
)

func TestWhereRegistriesMaySend(t *testing.T) {
	s := &Store{Options: Options{CheckReach: func(to netip.Addr) error {
		if to == netip.MustParseAddr("203.0.113.9") || to == netip.MustParseAddr("10.212.0.1") {
			return errors.New("it is this machine's")
		}
		return nil
	}}}
	for address, may := range map[string]struct{ public, private bool }{ // by where the registry is
		"93.184.216.34": {true, true}, "2606:4700::1": {true, true}, "::ffff:93.184.216.34": {true, true},
		"10.1.2.3": {false, true}, "172.16.0.1": {false, true}, "192.168.1.1": {false, true}, "100.64.0.1": {false, true},
		"fd00::1": {false, true}, "::ffff:10.1.2.3": {false, true},
		"127.0.0.1": {}, "::1": {}, "::ffff:127.0.0.1": {}, "0.0.0.0": {}, "::": {}, "224.0.0.1": {}, "169.254.169.254": {}, "fe80::1": {}, "fe80::1%eth0": {},
		"203.0.113.9": {}, "10.212.0.1": {}, "::ffff:10.212.0.1": {},
	} {
		to := netip.MustParseAddr(address)
		if err := s.forbid(to, false); may.public != (err == nil) {
			t.Errorf("%s: %v", address, err)
		}
		if err := s.forbid(to, true); may.private != (err == nil) {
			t.Errorf("%s for a registry on a private network: %v", address, err)
		}
	}
}

// claimed is a connection to where it says.
type claimed struct {
	net.Conn
	to string
}

func (c claimed) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.to)) }

func TestARegistryIsWhereItIsConnectedTo(t *testing.T) {
	for name, c := range map[string]struct {
		at    string
		proxy bool
		want  bool
	}{
		"private":                             {"10.1.2.3:443", false, true},
		"public":                              {"93.184.216.34:443", false, false},
		"loopback":                            {"127.0.0.1:443", false, false},
		"ours":                                {"10.212.0.1:443", false, false},
		"behind a proxy on a private network": {"10.1.2.3:3128", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			web := httptest.NewServer(http.NotFoundHandler())
			defer web.Close()
			transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, network, web.Listener.Addr().String())
				return claimed{conn, c.at}, err
			}}
			defer transport.CloseIdleConnections()
			if c.proxy {
				transport.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: c.at})
			}
			s, err := Open(t.Context(), Options{Dir: t.TempDir(), Transport: transport, Log: slog.New(slog.DiscardHandler), CheckReach: func(to netip.Addr) error {
				if to == netip.MustParseAddr("10.212.0.1") {
					return errors.New("it is a sandbox's")
				}
				return nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer closeStore(t, s)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://registry.example/v2/", nil)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time on the connection of the first
				r := s.observed(r)
				res, err := transport.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
				if got := fromPrivate(r); got != c.want {
					t.Errorf("private: %t", got)
				}
			}
		})
	}
}
