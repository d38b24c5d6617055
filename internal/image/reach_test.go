package image_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/test/fixtures"
)

// canary is a service of this machine that nobody may be led to.
func canary(t *testing.T) (url string, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept() // a connection alone is too much
			if err != nil {
				return
			}
			asked.Add(1)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return "http://" + l.Addr().String(), asked
}

// overTLS is a registry that nothing configures, whose answers turn may give, and
// a store that trusts its certificate.
func overTLS(t *testing.T, turn func(w http.ResponseWriter, r *http.Request, itself string) (handled bool)) (host string, g *fixtures.Registry, s *image.Store) {
	t.Helper()
	g = fixtures.NewRegistry()
	if err := g.AddImage("team/app", "1", layers(t, 2)); err != nil {
		t.Fatal(err)
	}
	var server *httptest.Server
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !turn(w, r, server.URL) {
			g.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "https://"), g, open(t, image.Options{Transport: server.Client().Transport.(*http.Transport).Clone()})
}

func TestARegistrySendsNobodyToThisMachine(t *testing.T) {
	redirect := func(part string) func(canary string, w http.ResponseWriter, r *http.Request) bool {
		return func(canary string, w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, part) {
				http.Redirect(w, r, canary+r.URL.Path, http.StatusTemporaryRedirect)
				return true
			}
			return false
		}
	}
	challenge := func(kind string) func(canary string, w http.ResponseWriter, r *http.Request) bool {
		return func(canary string, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("WWW-Authenticate", kind+` realm="`+strings.Replace(canary, "http:", "https:", 1)+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
	}
	byWay := func(canary string, w http.ResponseWriter, r *http.Request) bool { // by itself first
		switch {
		case strings.HasPrefix(r.URL.Path, "/onward"):
			http.Redirect(w, r, canary+"/", http.StatusFound)
		case strings.Contains(r.URL.Path, "/blobs/"):
			http.Redirect(w, r, "/onward", http.StatusFound)
		default:
			return false
		}
		return true
	}
	own := func(to string) string { // other names of the loopback
		return strings.Replace(to, "127.0.0.1", "localhost", 1)
	}
	mapped := func(to string) string { return strings.Replace(to, "127.0.0.1", "[::ffff:127.0.0.1]", 1) }
	same := func(to string) string { return to }
	for _, c := range []struct {
		name  string
		to    func(string) string
		leads func(canary string, w http.ResponseWriter, r *http.Request) bool
	}{
		{"manifest", same, redirect("/manifests/")},
		{"blob", same, redirect("/blobs/")},
		{"blob by a name", own, redirect("/blobs/")},
		{"blob by a mapped address", mapped, redirect("/blobs/")},
		{"blob by way of itself", same, byWay},
		{"token server", same, challenge("Bearer")},
		{"token server by a name", own, challenge("Bearer")},
	} {
		t.Run(c.name, func(t *testing.T) {
			url, asked := canary(t)
			to := c.to(url)
			host, _, s := overTLS(t, func(w http.ResponseWriter, r *http.Request, _ string) bool { return c.leads(to, w, r) })
			_, err := s.Pull(t.Context(), host+"/team/app:1", image.PullOptions{Owner: "x"})
			var e *image.PullError
			if !errors.As(err, &e) || e.Kind != image.KindAway {
				t.Fatalf("got %v", err)
			}
			if _, target, _ := strings.Cut(to, "://"); !strings.Contains(e.Message(), target) || !strings.Contains(e.Message(), "--mirror "+host+"=https://"+host) {
				t.Errorf("message %q", e.Message())
			}
			if n := asked.Load(); n > 0 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

func TestARegistrySendsToItself(t *testing.T) {
	var asked atomic.Int32
	var g *fixtures.Registry
	host, g, s := overTLS(t, func(w http.ResponseWriter, r *http.Request, itself string) bool {
		switch {
		case r.URL.Path == "/token":
			asked.Add(1)
			fmt.Fprint(w, `{"token":"let me in"}`)
		case strings.HasPrefix(r.URL.Path, "/storage/"):
			r.URL.Path = strings.TrimPrefix(r.URL.Path, "/storage")
			g.ServeHTTP(w, r)
		case r.Header.Get("Authorization") != "Bearer let me in":
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+itself+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		case strings.Contains(r.URL.Path, "/blobs/"):
			http.Redirect(w, r, itself+"/storage"+r.URL.Path, http.StatusTemporaryRedirect)
		default:
			return false
		}
		return true
	})
	if _, err := s.Pull(t.Context(), host+"/team/app:1", image.PullOptions{Owner: "x"}); err != nil {
		t.Error(err)
	}
	if asked.Load() == 0 {
		t.Error("no token was asked for")
	}
}

func TestAConfiguredRegistrySendsAnywhere(t *testing.T) {
	var g *fixtures.Registry
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.ServeHTTP(w, r) }))
	defer storage.Close()
	host, g, unconfigured := overTLS(t, func(w http.ResponseWriter, r *http.Request, _ string) bool {
		if !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		http.Redirect(w, r, storage.URL+r.URL.Path, http.StatusTemporaryRedirect)
		return true
	})
	s := open(t, image.Options{Transport: unconfigured.Transport, Mirrors: map[string][]image.Mirror{host: {{URL: "https://" + host}}}})
	if _, err := s.Pull(t.Context(), host+"/team/app:1", image.PullOptions{Owner: "x"}); err != nil {
		t.Error(err)
	}
}

// A manifest's URLs are a way out that passes the registry by.
func TestBlobsComeFromTheRegistryOnly(t *testing.T) {
	url, asked := canary(t)
	img := layers(t, 1)
	raw, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	var manifest map[string]any
	if err := json.Unmarshal(raw, &manifest); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"config", "layers"} {
		for name, serve := range map[string]func(http.ResponseWriter, *http.Request, []byte){
			"whole": func(w http.ResponseWriter, _ *http.Request, b []byte) { _, _ = w.Write(b) },
			"in two parts": func(w http.ResponseWriter, r *http.Request, b []byte) {
				half := len(b) / 2
				if r.Header.Get("Range") != "" {
					w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", half, len(b)-1, len(b)))
					w.WriteHeader(http.StatusPartialContent)
					_, _ = w.Write(b[half:])
					return
				}
				_, _ = w.Write(b[:half])
			},
		} {
			t.Run(part+" "+name, func(t *testing.T) {
				edited := map[string]any{}
				for k, v := range manifest {
					edited[k] = v
				}
				out := func(d any) map[string]any {
					with := map[string]any{"urls": []string{url + "/blob"}}
					for k, v := range d.(map[string]any) {
						with[k] = v
					}
					return with
				}
				if part == "config" {
					edited[part] = out(edited[part])
				} else {
					edited[part] = []any{out(edited[part].([]any)[0])}
				}
				body, err := json.Marshal(edited)
				if err != nil {
					t.Fatal(err)
				}
				host, g, s := overTLS(t, func(w http.ResponseWriter, r *http.Request, _ string) bool {
					if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/manifests/") {
						return false
					}
					w.Header().Set("Content-Type", manifest["mediaType"].(string))
					serve(w, r, body)
					return true
				})
				if err := g.AddImage("evil/app", "unused", img); err != nil {
					t.Fatal(err)
				}
				g.AddManifest("evil/app", "1", manifest["mediaType"].(string), bytes.Clone(body))
				_, err = s.Pull(t.Context(), host+"/evil/app:1", image.PullOptions{Owner: "x"})
				var e *image.PullError
				if !errors.As(err, &e) || e.Kind != image.KindInvalid {
					t.Errorf("got %v", err)
				}
				if n := asked.Load(); n > 0 {
					t.Errorf("%d connections", n)
				}
			})
		}
	}
}
