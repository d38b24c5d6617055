package outbound_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opendaytona/daytona/internal/outbound"
)

var errRefused = errors.New("refused")

func noLoopback(to netip.Addr) error {
	if to.Unmap().IsLoopback() {
		return errRefused
	}
	return nil
}

// get fetches by way of a transport and closes the body.
func get(t *testing.T, transport http.RoundTripper, url string) (text string, err error) {
	t.Helper()
	res, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

// counting is a server that counts the connections to it, and says what it was
// asked for.
func counting(t *testing.T) (s *httptest.Server, connections *atomic.Int32) {
	t.Helper()
	connections = new(atomic.Int32)
	s = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.String())
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s, connections
}

func TestARefusedAddressIsNotConnectedTo(t *testing.T) {
	s, connections := counting(t)
	transport := outbound.New(&http.Transport{}, noLoopback)
	t.Cleanup(transport.CloseIdleConnections)
	for _, to := range []string{s.URL, strings.Replace(s.URL, "127.0.0.1", "localhost", 1), strings.Replace(s.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1)} {
		if _, err := get(t, transport, to); !errors.Is(err, errRefused) {
			t.Errorf("%s: %v", to, err)
		}
	}
	if n := connections.Load(); n > 0 {
		t.Errorf("%d connections", n)
	}
	if text, err := get(t, outbound.New(&http.Transport{DisableKeepAlives: true}, func(netip.Addr) error { return nil }), s.URL+"/x"); err != nil || text != "/x" {
		t.Errorf("where it may: %q, %v", text, err)
	}
}

func TestAProxyIsHandedNoRefusedName(t *testing.T) {
	proxy, connections := counting(t) // at a refused address itself, which is its operator's matter
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := outbound.New(&http.Transport{Proxy: http.ProxyURL(at)}, noLoopback)
	t.Cleanup(transport.CloseIdleConnections)
	for _, to := range []string{"http://127.0.0.1:1/", "http://[::1]:1/", "http://[::ffff:127.0.0.1]:1/"} {
		if _, err := get(t, transport, to); !errors.Is(err, errRefused) {
			t.Errorf("%s: %v", to, err)
		}
	}
	if n := connections.Load(); n > 0 {
		t.Errorf("%d connections to the proxy", n)
	}
	const unknown = "http://only-the-proxy-knows.invalid/x"
	if text, err := get(t, transport, unknown); err != nil || text != unknown {
		t.Errorf("a name that only the proxy knows: %q, %v", text, err)
	}
}
