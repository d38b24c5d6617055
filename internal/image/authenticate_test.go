package image_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/test/fixtures"
)

// place is a registry with images below team/ and other/, and a store beside it.
type place struct {
	*fixtures.Registry
	host  string
	store *image.Store
	gets  atomic.Int32 // of blobs
	blob  atomic.Pointer[func()]
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{Registry: fixtures.NewRegistry()}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			p.gets.Add(1)
			if f := p.blob.Load(); f != nil {
				(*f)()
			}
		}
		p.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.host = strings.TrimPrefix(server.URL, "http://")
	for _, repository := range []string{"team/app", "other/app", "open/app"} {
		if err := p.AddImage(repository, "1", layers(t, 5)); err != nil {
			t.Fatal(err)
		}
	}
	p.Access.Guard("team/", "alice", "secret-a")
	p.Access.Guard("other/", "bob", "secret-b")
	p.store = open(t, image.Options{PlainHTTP: []string{p.host}})
	return p
}

func open(t *testing.T, o image.Options) *image.Store {
	t.Helper()
	o.Dir, o.Stall, o.Log, o.Parallel = t.TempDir(), time.Second, slog.New(slog.DiscardHandler), 1
	s, err := image.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// layers is an image for this machine with so many layers of noise.
func layers(t *testing.T, n int) v1.Image {
	t.Helper()
	img, err := fixtures.Noise(n, 20_000)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// known are credentials by the path that they are for.
type known map[string]image.Credential

func (k known) find(_ context.Context, r image.Repository) (*image.Credential, error) {
	for path, c := range k {
		if strings.HasPrefix(r.String(), path) {
			return &c, nil
		}
	}
	return nil, nil
}

func (p *place) both() known {
	return known{
		p.host + "/team/":  {Entry: "team", User: "alice", Secret: "secret-a"},
		p.host + "/other/": {Entry: "other", User: "bob", Secret: "secret-b"},
	}
}

func TestTwoRepositoriesOfOneHostHaveTwoCredentials(t *testing.T) {
	for name, ask := range map[string]func(*fixtures.Access){
		"passwords":               func(*fixtures.Access) {},
		"tokens":                  func(a *fixtures.Access) { a.Tokens(time.Hour, false, false) },
		"tokens by POST":          func(a *fixtures.Access) { a.Tokens(time.Hour, false, true) },
		"tokens that say nothing": func(a *fixtures.Access) { a.Tokens(time.Hour, true, false) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			ask(&p.Access)
			for _, repository := range []string{"/team/app:1", "/other/app:1", "/open/app:1"} {
				if _, err := p.store.Pull(t.Context(), p.host+repository, image.PullOptions{Owner: repository, Credentials: p.both().find}); err != nil {
					t.Errorf("%s: %v", repository, err)
				}
			}
			_, logins := p.Access.Seen()
			slices.Sort(logins)
			if logins = slices.Compact(logins); !slices.Equal(logins, []string{"alice:secret-a", "bob:secret-b"}) {
				t.Errorf("logins %q", logins)
			}
		})
	}
}

func TestATokenServesUntilItExpires(t *testing.T) {
	p := newPlace(t)
	p.Access.Tokens(time.Hour, false, false)
	for range 3 {
		if _, err := p.store.Prove(t.Context(), p.host+"/team/app:1", p.both().find); err != nil {
			t.Fatal(err)
		}
	}
	if asked, _ := p.Access.Seen(); asked != 1 {
		t.Errorf("asked for %d tokens", asked)
	}
	p.Access.Expire()
	if _, err := p.store.Prove(t.Context(), p.host+"/team/app:1", p.both().find); err != nil {
		t.Error(err)
	}
	if asked, _ := p.Access.Seen(); asked != 1 {
		t.Errorf("asked for %d tokens after the end of the first", asked)
	}
}

func TestAPullGoesOnWhenItsTokenExpires(t *testing.T) {
	for name, silent := range map[string]bool{"told": false, "silent": true} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.Access.Tokens(time.Hour, silent, false)
			every := func() {
				if p.gets.Load()%2 == 1 {
					p.Access.Expire() // before every blob; the other request is its repetition
				}
			}
			p.blob.Store(&every)
			if _, err := p.store.Pull(t.Context(), p.host+"/team/app:1", image.PullOptions{Owner: "x", Credentials: p.both().find}); err != nil {
				t.Fatal(err)
			}
			if asked, _ := p.Access.Seen(); asked != 1+6 { // for the manifest, a configuration and 5 layers
				t.Errorf("asked for %d tokens", asked)
			}
		})
	}
}

func TestAChangedPasswordIsUsedByAPullThatGoesOn(t *testing.T) {
	p := newPlace(t)
	var current atomic.Pointer[image.Credential]
	current.Store(&image.Credential{Entry: "e", User: "alice", Secret: "secret-a"})
	find := func(context.Context, image.Repository) (*image.Credential, error) { return current.Load(), nil }
	change := func() {
		if p.gets.Load() == 2 {
			p.Access.Guard("team/", "alice", "twelve hours later")
			current.Store(&image.Credential{Entry: "e", User: "alice", Secret: "twelve hours later"})
		}
	}
	p.blob.Store(&change)
	if _, err := p.store.Pull(t.Context(), p.host+"/team/app:1", image.PullOptions{Owner: "x", Credentials: find}); err != nil {
		t.Fatal(err)
	}
	if _, logins := p.Access.Seen(); !slices.Contains(logins, "alice:twelve hours later") {
		t.Errorf("logins %q", logins)
	}
}

func TestARefusalTellsWhoseCredentialsWereUsed(t *testing.T) {
	for name, ask := range map[string]func(*fixtures.Access){
		"passwords": func(*fixtures.Access) {},
		"tokens":    func(a *fixtures.Access) { a.Tokens(time.Hour, false, false) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			ask(&p.Access)
			wrong := known{p.host: {Entry: "my entry", User: "alice", Secret: "wrong"}}
			others := known{p.host: {Entry: "my entry", User: "bob", Secret: "secret-b"}}
			for _, c := range []struct {
				ref  string
				find image.Credentials
				kind image.Kind
				says string
			}{
				{"/team/app:1", nil, image.KindUnauthorized, "no credentials are known for " + p.host + "/team/app"},
				{"/team/app:1", wrong.find, image.KindUnauthorized, `"my entry"`},
				{"/team/app:1", others.find, image.KindUnauthorized, `"my entry"`},
				{"/team/none:1", p.both().find, image.KindNotFound, `"team"`},
				{"/open/none:1", p.both().find, image.KindNotFound, "daytona registry add"},
				{"/team/app:1", func(context.Context, image.Repository) (*image.Credential, error) {
					return nil, errors.New("the key is another one")
				}, image.KindCredentials, "the key is another one"},
			} {
				_, err := p.store.Pull(t.Context(), p.host+c.ref, image.PullOptions{Owner: "x", Credentials: c.find})
				var e *image.PullError
				if !errors.As(err, &e) || e.Kind != c.kind || !strings.Contains(e.Message(), c.says) {
					t.Errorf("%s: %v, want %s and %q", c.ref, err, c.kind, c.says)
				}
				if e != nil && (strings.Contains(e.Error()+e.Message(), "secret-b") || strings.Contains(e.Error()+e.Message(), "wrong")) {
					t.Errorf("%s: the error shows the password: %v", c.ref, e)
				}
			}
		})
	}
}

func TestNobodyElseIsToldThePassword(t *testing.T) {
	p := newPlace(t)
	var leaked atomic.Int32
	spy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			leaked.Add(1)
		}
		if r.URL.Path == "/storage" { // of blobs
			blob := strings.TrimPrefix(r.URL.RawQuery, "of=")
			fetched := httptest.NewRecorder()
			p.ServeHTTP(fetched, httptest.NewRequest(http.MethodGet, "/v2/open/app/blobs/"+blob, nil))
			_, _ = w.Write(fetched.Body.Bytes())
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="spy"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer spy.Close()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, digest, ok := strings.Cut(r.URL.Path, "/blobs/"); ok {
			http.Redirect(w, r, spy.URL+"/storage?of="+digest, http.StatusTemporaryRedirect)
			return
		}
		p.ServeHTTP(w, r)
	}))
	defer front.Close()
	host := strings.TrimPrefix(front.URL, "http://")
	// A mirror that asks for a password is asked first and gets none.
	s := open(t, image.Options{PlainHTTP: []string{host}, Mirrors: map[string][]image.Mirror{host: {{URL: spy.URL}}}})
	find := known{host: {Entry: "e", User: "alice", Secret: "secret-a"}}.find
	if _, err := s.Pull(t.Context(), host+"/team/app:1", image.PullOptions{Owner: "x", Credentials: find}); err != nil {
		t.Fatal(err)
	}
	if _, logins := p.Access.Seen(); len(logins) == 0 {
		t.Error("the registry was not told either")
	}
	if leaked.Load() > 0 {
		t.Errorf("%d requests told the mirror or the storage", leaked.Load())
	}
}

func TestATokenServerWithoutTLSIsNotTold(t *testing.T) {
	asked := make(chan string, 10)
	realm := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.String() }))
	defer realm.Close()
	registry := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm.URL+`/token",service="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer registry.Close()
	s := open(t, image.Options{Transport: registry.Client().Transport.(*http.Transport)})
	host := strings.TrimPrefix(registry.URL, "https://")
	var e *image.PullError
	if err := s.Try(t.Context(), host, image.Credential{User: "a", Secret: "b"}); !errors.As(err, &e) || e.Kind != image.KindCredentials || !strings.Contains(e.Message(), strings.TrimPrefix(realm.URL, "http://")) {
		t.Errorf("got %v", err)
	}
	if len(asked) > 0 {
		t.Errorf("asked %s", <-asked)
	}
}

func TestCredentialsAreTried(t *testing.T) {
	for name, ask := range map[string]func(*fixtures.Access){
		"passwords": func(*fixtures.Access) {},
		"tokens":    func(a *fixtures.Access) { a.Tokens(time.Hour, false, false) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			ask(&p.Access)
			if err := p.store.Try(t.Context(), p.host, image.Credential{User: "alice", Secret: "secret-a"}); err != nil {
				t.Error(err)
			}
			for host, kind := range map[string]image.Kind{p.host: image.KindUnauthorized, "127.0.0.1:1": image.KindUnreachable, "registry.invalid": image.KindNoSuchHost} {
				var e *image.PullError
				if err := p.store.Try(t.Context(), host, image.Credential{User: "alice", Secret: "wrong"}); !errors.As(err, &e) || e.Kind != kind {
					t.Errorf("%s: %v, want %s", host, err, kind)
				}
			}
		})
	}
}
