package image

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// withConfig is img with what edit makes of its config.
func withConfig(t *testing.T, img v1.Image, edit func(*v1.ConfigFile)) v1.Image {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	edit(config)
	img, err = mutate.ConfigFile(img, config)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestAnImageHereIsNobodysWhoCannotShowItsBytes(t *testing.T) {
	hub := newHub(t)
	secret := imageOf(t, v1.Config{}, layerOf(t, file("secret", "of another organization")))
	hub.push(t, "library/private:1", secret)
	layers, err := secret.Layers()
	if err != nil {
		t.Fatal(err)
	}
	diff, err := layers[0].DiffID()
	if err != nil {
		t.Fatal(err)
	}
	blobs := func(answer func(w http.ResponseWriter, whole []byte)) func(*fakeHub) {
		return func(h *fakeHub) {
			h.push(t, "evil/box:1", secret)
			h.fail(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, "/blobs/") {
					return false
				}
				answer(w, h.real(r))
				return true
			})
		}
	}
	for name, c := range map[string]struct {
		evil func(*fakeHub)
		ok   bool
	}{
		"it has the manifest alone": {evil: blobs(func(w http.ResponseWriter, _ []byte) { w.WriteHeader(http.StatusNotFound) })},
		"it sends other bytes": {evil: blobs(func(w http.ResponseWriter, whole []byte) {
			_, _ = w.Write(bytes.Repeat([]byte("x"), len(whole)))
		})},
		"it sends the first bytes": {evil: blobs(func(w http.ResponseWriter, whole []byte) { _, _ = w.Write(whole[:len(whole)/2]) })},
		"it names the digest and has nothing": {evil: func(h *fakeHub) {
			digest, err := secret.Digest()
			if err != nil {
				t.Fatal(err)
			}
			h.fail(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodHead {
					return false
				}
				w.Header().Set("Docker-Content-Digest", digest.String())
				w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v2+json")
				w.Header().Set("Content-Length", "500")
				return true
			})
		}},
		"its config takes another layer for it": {evil: func(h *fakeHub) {
			own := imageOf(t, v1.Config{}, layerOf(t, file("own", "nothing")))
			h.push(t, "evil/box:1", withConfig(t, own, func(c *v1.ConfigFile) { c.RootFS.DiffIDs = []v1.Hash{diff} }))
		}},
		"it has all of it": {evil: func(h *fakeHub) { h.push(t, "evil/box:1", secret) }, ok: true},
		"it has the layer in an image of its own": {evil: func(h *fakeHub) {
			img, err := mutate.AppendLayers(secret, layerOf(t, file("more", "of its own")))
			if err != nil {
				t.Fatal(err)
			}
			h.push(t, "evil/box:1", img)
		}, ok: true},
	} {
		t.Run(name, func(t *testing.T) {
			evil := newHub(t)
			c.evil(evil)
			host := strings.TrimPrefix(evil.URL, "http://")
			s, err := Open(t.Context(), Options{
				Dir: t.TempDir(), Mirrors: map[string][]Mirror{"docker.io": {{URL: hub.URL}}}, PlainHTTP: []string{host}, Log: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer closeStore(t, s)
			if _, err := s.Pull(t.Context(), "private:1", PullOptions{Owner: "victim"}); err != nil {
				t.Fatal(err)
			}
			_, err = s.Prove(t.Context(), host+"/evil/box:1", nil)
			if (err == nil) != c.ok {
				t.Errorf("as the base of a build: %v", err)
			}
			img, err := s.Pull(t.Context(), host+"/evil/box:1", PullOptions{Owner: "evil"})
			if (err == nil) != c.ok {
				t.Errorf("pulled %+v, %v", img, err)
			}
			var e *PullError
			if err != nil && !errors.As(err, &e) {
				t.Errorf("the error is %T", err)
			}
			// The victim's stays as it was.
			if _, err := s.Pull(t.Context(), "private:1", PullOptions{Owner: "victim"}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestARegistryIsAskedOnceForEachBlob(t *testing.T) {
	hub := newHub(t)
	img := imageOf(t, v1.Config{Env: []string{"A=1"}}, layerOf(t, file("one", "1")), layerOf(t, file("two", "2")), layerOf(t, file("one", "1")))
	hub.push(t, "library/box:1", img)
	var mu sync.Mutex
	asked := map[string]int{}
	hub.fail(func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		asked[r.Method+" "+r.URL.Path]++
		return false
	})
	s, err := Open(t.Context(), Options{Dir: t.TempDir(), Mirrors: map[string][]Mirror{"docker.io": {{URL: hub.URL}}}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	pull := func() error {
		_, err := s.Pull(t.Context(), "box:1", PullOptions{Owner: "owner"})
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	prove := func() error {
		shown, err := s.Prove(t.Context(), "box:1", nil)
		if err == nil && shown != digest.String() {
			err = errors.New("it shows " + shown)
		}
		return err
	}
	for _, c := range []struct {
		what   string
		do     func() error
		layers int
	}{
		{"a proof of what is not here", prove, 0},
		{"the first pull", pull, 2},
		{"the second pull", pull, 2},
		{"a proof of what is here", prove, 2},
	} {
		clear(asked)
		if err := c.do(); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		layers := 0
		for request, times := range asked {
			if strings.Contains(request, "/blobs/") {
				layers++
			}
			if times > 1 {
				t.Errorf("%s: %d times %s", c.what, times, request)
			}
		}
		if layers != c.layers+1 { // and the config
			t.Errorf("%s: asked for %d blobs: %v", c.what, layers, asked)
		}
	}
}
