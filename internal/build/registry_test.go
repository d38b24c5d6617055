package build

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/test/fixtures"
)

func TestAPrivateImageIsBuiltOnByWhoMay(t *testing.T) {
	for name, ask := range map[string]func(*fixtures.Access){
		"passwords": func(*fixtures.Access) {},
		"tokens":    func(a *fixtures.Access) { a.Tokens(time.Hour, true, false) },
	} {
		t.Run(name, func(t *testing.T) {
			g := fixtures.NewRegistry()
			for _, repository := range []string{"team/app", "other/tools"} {
				img, err := fixtures.Noise(2, 1000)
				if err != nil {
					t.Fatal(err)
				}
				if err := g.AddImage(repository, "1", img); err != nil {
					t.Fatal(err)
				}
			}
			g.Access.Guard("team/", "alice", "secret-a")
			g.Access.Guard("other/", "bob", "secret-b")
			ask(&g.Access)
			web := httptest.NewServer(g)
			defer web.Close()
			host := strings.TrimPrefix(web.URL, "http://")
			f := openWith(t, func(o *image.Options) { o.PlainHTTP = []string{host} })

			both := func(_ context.Context, r image.Repository) (*image.Credential, error) {
				if strings.HasPrefix(r.Name, "team/") {
					return &image.Credential{Entry: "for the team", User: "alice", Secret: "secret-a"}, nil
				}
				return &image.Credential{Entry: "for others", User: "bob", Secret: "secret-b"}, nil
			}
			dockerfile := "FROM " + host + "/team/app:1\nCOPY --from=" + host + "/other/tools:1 /noise/0 /copied\nCOPY file /file\n"
			make := func(id, dockerfile string, c image.Credentials) (*image.Image, error) {
				return f.Build(t.Context(), Request{ID: id, Owner: id, Dockerfile: dockerfile, Credentials: c, Log: testWriter{t}, Fill: fill(map[string]string{"file": id})})
			}
			img, err := make("one", dockerfile, both)
			if err != nil {
				t.Fatal(err)
			}
			if len(read(t, img, "copied")) == 0 || read(t, img, "file") != "one" {
				t.Error("the image lacks what it was built of")
			}
			g.Access.Expire()
			if _, err := make("two", dockerfile, both); err != nil {
				t.Errorf("once more: %v", err)
			}
			_, logins := g.Access.Seen()
			slices.Sort(logins)
			if logins = slices.Compact(logins); !slices.Equal(logins, []string{"alice:secret-a", "bob:secret-b"}) {
				t.Errorf("logins %q", logins)
			}

			// What is here by now is shown to nobody else, whatever they know of it.
			pinned, err := f.images.Prove(t.Context(), host+"/team/app:1", both)
			if err != nil {
				t.Fatal(err)
			}
			only := func(context.Context, image.Repository) (*image.Credential, error) {
				return &image.Credential{Entry: "for others", User: "bob", Secret: "secret-b"}, nil
			}
			for _, c := range []struct {
				from string
				find image.Credentials
				kind image.Kind
				says string
			}{
				{"team/app:1", nil, image.KindUnauthorized, "no credentials are known for " + host + "/team/app"},
				{"team/app@" + pinned, nil, image.KindUnauthorized, "no credentials are known"},
				{"team/app:1", only, image.KindUnauthorized, `credentials of registry "for others"`},
				{"team/none:1", both, image.KindNotFound, `registry "for the team"`},
			} {
				_, err := make("three", "# a comment\nFROM "+host+"/"+c.from+"\nCOPY file /file\n", c.find)
				var e *Error
				var pull *image.PullError
				if !errors.As(err, &e) || !errors.As(err, &pull) || pull.Kind != c.kind || e.Line != 2 || !strings.Contains(e.Message(), c.says) {
					t.Errorf("%s: %v", c.from, err)
				} else if m := e.Message(); !strings.HasPrefix(m, "The build failed in line 2 of the Dockerfile (FROM ") || strings.Contains(m, "secret") {
					t.Errorf("%s: %q", c.from, m)
				}
			}
			if n := len(f.registries.byBuild) + len(f.registries.byTicket); n > 0 {
				t.Errorf("%d builds are remembered", n)
			}
		})
	}
}

func TestALayerThatIsNotToBeHadIsNamed(t *testing.T) {
	g := fixtures.NewRegistry()
	img, err := fixtures.Noise(1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.AddImage("team/app", "1", img); err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/blobs/") && !strings.HasSuffix(r.URL.Path, config.String()) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		g.ServeHTTP(w, r)
	}))
	defer web.Close()
	host := strings.TrimPrefix(web.URL, "http://")
	f := openWith(t, func(o *image.Options) { o.PlainHTTP = []string{host} })
	_, log, err := f.make("denied", "FROM "+host+"/team/app:1\nCOPY file /file\n", map[string]string{"file": "x"})
	var pull *image.PullError
	var e *Error
	if !errors.As(err, &e) || !errors.As(err, &pull) || pull.Kind != image.KindUnauthorized || !strings.Contains(e.Message(), "no credentials are known for "+host+"/team/app") {
		t.Errorf("got %v\n%s", err, log)
	}
	_, _, err = f.make("away", "FROM 127.0.0.1:1/app:1\n", nil)
	if !errors.As(err, &pull) || pull.Kind != image.KindUnreachable {
		t.Errorf("nobody listens: %v", err)
	}
}
