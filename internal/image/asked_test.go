package image

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// A failure names the host that was asked, why it was, what failed and what to do;
// and no host that neither the user nor the configuration has named passes for one.
func TestAFailureSaysWhichHostDidNotAnswerAndWhy(t *testing.T) {
	none := httptest.NewServer(nil)
	refused := none.Listener.Addr().String()
	none.Close()
	serve := func(h http.HandlerFunc) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	silent := serve(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	broken := serve(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	busy := serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	challenges := serve(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+refused+`/token",service="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	redirects := serve(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+refused+"/elsewhere", http.StatusTemporaryRedirect)
	})
	proxy := serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	trusting := secure.Client().Transport.(*http.Transport).TLSClientConfig
	unresolved := func(notFound bool) func(context.Context, string, string) (net.Conn, error) {
		return func(_ context.Context, network, address string) (net.Conn, error) {
			host, _, _ := net.SplitHostPort(address)
			return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "it says so", Name: host, Server: "192.0.2.53:53", IsNotFound: notFound, IsTemporary: !notFound}}
		}
	}
	to := func(address string) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
	}
	via := func(address string) func(*http.Request) (*url.URL, error) {
		return http.ProxyURL(&url.URL{Scheme: "http", Host: address, User: url.UserPassword("me", "secret")})
	}
	for _, c := range []struct {
		name, ref string
		transport *http.Transport
		mirrors   map[string][]Mirror
		plain     []string
		want      Kind
		says      []string
		not       string
	}{
		{name: "no such name, given by the user", ref: "registry.invalid/app:1", transport: &http.Transport{DialContext: unresolved(true)},
			want: KindNoSuchHost, says: []string{"registry registry.invalid has a name that cannot be resolved", "the host in the image's name", "192.0.2.53"}},
		{name: "no such name, given by nobody", ref: "ubuntu:22.04", transport: &http.Transport{DialContext: unresolved(true)},
			want: KindNoSuchHost, says: []string{"registry docker.io, which is at registry-1.docker.io, has a name that cannot be resolved", "DNS"}, not: "image's name"},
		{name: "no name server", ref: "ubuntu:22.04", transport: &http.Transport{DialContext: unresolved(false)},
			want: KindUnreachable, says: []string{"registry-1.docker.io", "name resolution does not work", "192.0.2.53"}, not: "does not exist"},
		{name: "nobody listens", ref: refused + "/app:1",
			want: KindUnreachable, says: []string{"registry " + refused + " refuses connections", "port"}},
		{name: "a mirror", ref: "ubuntu:22.04", transport: &http.Transport{DialContext: to(refused)}, mirrors: map[string][]Mirror{"docker.io": {{URL: "http://mirror.example"}}},
			want: KindUnreachable, says: []string{"mirror.example, the mirror of docker.io in the server's configuration, refuses connections"}},
		{name: "a token server", ref: challenges + "/app:1", plain: []string{challenges},
			want: KindUnreachable, says: []string{refused + ", the token server that registry " + challenges + " names, refuses connections"}},
		{name: "a redirection", ref: redirects + "/app:1", plain: []string{redirects},
			want: KindUnreachable, says: []string{refused + ", to which registry " + redirects + " redirects, refuses connections"}},
		{name: "silence", ref: silent + "/app:1", plain: []string{silent}, transport: &http.Transport{ResponseHeaderTimeout: 50 * time.Millisecond},
			want: KindUnreachable, says: []string{"registry " + silent + " did not answer in time", "HTTPS_PROXY"}},
		{name: "a closed connection", ref: broken + "/app:1", plain: []string{broken},
			want: KindUnreachable, says: []string{"registry " + broken + " closed the connection"}},
		{name: "a status", ref: busy + "/app:1", plain: []string{busy},
			want: KindUnreachable, says: []string{busy + " answered 503 Service Unavailable"}},
		{name: "an unknown authority", ref: "example.com/app:1", transport: &http.Transport{DialContext: to(secure.Listener.Addr().String())},
			want: KindUntrusted, says: []string{"registry example.com has a certificate of an authority that the server does not trust", "--extra-ca"}},
		{name: "another host's certificate", ref: "registry.invalid/app:1", transport: &http.Transport{DialContext: to(secure.Listener.Addr().String()), TLSClientConfig: trusting.Clone()},
			want: KindUntrusted, says: []string{"registry.invalid", "for other names", "example.com"}},
		{name: "a certificate of later", ref: "example.com/app:1", transport: &http.Transport{DialContext: to(secure.Listener.Addr().String()), TLSClientConfig: early(trusting)},
			want: KindUntrusted, says: []string{"example.com", "not valid now", "clock"}},
		{name: "no TLS", ref: busy + "/app:1",
			want: KindUntrusted, says: []string{"registry " + busy + " does not speak TLS", "--plain-http " + busy}},
		{name: "a proxy that is not there", ref: "ubuntu:22.04", transport: &http.Transport{Proxy: via(refused)},
			want: KindUnreachable, says: []string{"registry-1.docker.io", "the proxy http://me:xxxxx@" + refused + " cannot be reached", "HTTPS_PROXY"}},
		{name: "a proxy that refuses", ref: "ubuntu:22.04", transport: &http.Transport{Proxy: via(proxy)},
			want: KindUnreachable, says: []string{"registry-1.docker.io", "through the proxy http://me:xxxxx@" + proxy + " (Forbidden)", "HTTPS_PROXY"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			transport := c.transport
			if transport == nil {
				transport = &http.Transport{}
			}
			s, err := Open(t.Context(), Options{Dir: t.TempDir(), Transport: transport, Mirrors: c.mirrors, PlainHTTP: c.plain, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer closeStore(t, s)
			_, err = s.Prove(t.Context(), c.ref, nil)
			var p *PullError
			if !errors.As(err, &p) || p.Kind != c.want {
				t.Fatalf("got %+v, want %s", p, c.want)
			}
			message := p.Message()
			for _, want := range append(c.says, c.ref) {
				if !strings.Contains(message, want) {
					t.Errorf("%q is missing in: %s", want, message)
				}
			}
			if c.not != "" && strings.Contains(message, c.not) || strings.Contains(message, "secret") {
				t.Errorf("it says too much: %s", message)
			}
		})
	}
}

// early sees the certificates of today fifty years ago.
func early(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.Time = func() time.Time { return time.Now().AddDate(-80, 0, 0) }
	return c
}
