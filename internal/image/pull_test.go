package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"
)

// entry is one entry of a layer in the making.
type entry struct {
	tar.Header
	text string
}

func file(name, text string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Uid: 1000, Gid: 1000}, text}
}

func layerOf(t testing.TB, entries ...entry) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		e.Size = int64(len(e.text))
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func imageOf(t *testing.T, c v1.Config, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{Architecture: "amd64", OS: "linux", Config: c})
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.AppendLayers(img, layers...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// fakeHub is a registry that stands in for docker.io and can be told to fail.
type fakeHub struct {
	*httptest.Server
	backend http.Handler
	fault   atomic.Pointer[func(http.ResponseWriter, *http.Request) (handled bool)]
	gets    atomic.Int32
}

func newHub(t *testing.T) *fakeHub {
	t.Helper()
	h := &fakeHub{backend: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			h.gets.Add(1)
		}
		if f := h.fault.Load(); f != nil && (*f)(w, r) {
			return
		}
		h.backend.ServeHTTP(w, r)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *fakeHub) push(t *testing.T, repo string, img v1.Image) {
	t.Helper()
	ref, err := name.ParseReference(strings.TrimPrefix(h.URL, "http://")+"/"+repo, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
}

// real is the answer of the registry that does not fail.
func (h *fakeHub) real(r *http.Request) []byte {
	w := httptest.NewRecorder()
	h.backend.ServeHTTP(w, r)
	return w.Body.Bytes()
}

func (h *fakeHub) fail(f func(http.ResponseWriter, *http.Request) bool) { h.fault.Store(&f) }

func openStore(t *testing.T, dir string, h *fakeHub) *Store {
	t.Helper()
	return openPatient(t, dir, h, 300*time.Millisecond)
}

func openPatient(t *testing.T, dir string, h *fakeHub, stall time.Duration) *Store {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("unpacking images keeps their owners, so this test must run as root")
	}
	s, err := Open(t.Context(), Options{
		Dir: dir, Mirrors: map[string][]Mirror{"docker.io": {{URL: h.URL}}}, Stall: stall, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeStore(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestPullUnpacksOnceAndKeepsItAsLongAsSomebodyHolds(t *testing.T) {
	h, dir := newHub(t), t.TempDir()
	h.push(t, "library/app:1", imageOf(t, v1.Config{Entrypoint: []string{"/run"}, Cmd: []string{"x"}, WorkingDir: "/srv", Volumes: map[string]struct{}{"/data": {}}},
		layerOf(t, file("etc/passwd", "root:x:0:0::/root:/bin/sh\ndaytona:x:1000:1000::/home/daytona:/bin/sh\n"), file("gone", "x"), file("dir/hidden", "x")),
		layerOf(t, file(".wh.gone", ""), file("dir/.wh..wh..opq", ""), file("dir/shown", "y"),
			entry{Header: tar.Header{Name: "hard", Typeflag: tar.TypeLink, Linkname: "dir/shown", Uid: 1000, Gid: 1000, Mode: 0o644}},
			entry{Header: tar.Header{Name: "fifo", Typeflag: tar.TypeFifo, Mode: 0o600}},
			entry{Header: tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, Mode: 0o666}})))
	s := openStore(t, dir, h)
	img, err := s.Pull(t.Context(), "app:1", PullOptions{Owner: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if img.DefaultUser != "daytona" || len(img.Layers) != 2 || img.Config.WorkDir != "/srv" || strings.Join(img.Config.Command(), " ") != "/run x" || img.Size == 0 {
		t.Errorf("got %+v", img)
	}
	top := img.Layers[0]
	if !strings.HasPrefix(top, s.LayersDir()) {
		t.Errorf("layer %s is outside %s", top, s.LayersDir())
	}
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(top, "gone"), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != 0 {
		t.Errorf("a removed file has no whiteout: %v %o", err, st.Mode)
	}
	opaque := make([]byte, 8)
	if n, err := unix.Lgetxattr(filepath.Join(top, "dir"), "trusted.overlay.opaque", opaque); err != nil || string(opaque[:n]) != "y" {
		t.Errorf("an opaque directory is not: %q, %v", opaque[:n], err)
	}
	if err := unix.Lstat(filepath.Join(top, "hard"), &st); err != nil || st.Nlink != 2 || st.Uid != 1000 {
		t.Errorf("hard link: %+v, %v", st, err)
	}
	before := h.gets.Load()
	again, err := s.Pull(t.Context(), "docker.io/library/app:1", PullOptions{Owner: "b"})
	// It asks for the config and for each layer, to see whether it may have them.
	if err != nil || again.Digest != img.Digest || h.gets.Load() != before+3 {
		t.Errorf("the second pull asked for %d blobs: %v", h.gets.Load()-before, err)
	}
	if err := s.Release(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)

	s = openStore(t, dir, h)
	defer closeStore(t, s)
	if err := s.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Image(t.Context(), img.Digest); err != nil || got.DefaultUser != "daytona" {
		t.Errorf("after reopening, held by b: %+v, %v", got, err)
	}
	if owners, err := s.Owners(t.Context()); err != nil || len(owners) != 1 || owners["b"] != img.Digest {
		t.Errorf("owners %v, %v", owners, err)
	}
	for range 2 {
		if err := s.Release(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Image(t.Context(), img.Digest); !errors.Is(err, ErrNotFound) {
		t.Errorf("held by nobody: %v", err)
	}
	if _, err := os.Stat(top); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its layer is still there: %v", err)
	}
	if err := s.Hold(t.Context(), "c", img.Digest); !errors.Is(err, ErrNotFound) {
		t.Errorf("hold what is gone: %v", err)
	}
}

func TestFailuresSayWhy(t *testing.T) {
	h := newHub(t)
	h.push(t, "library/app:1", imageOf(t, v1.Config{}, layerOf(t, file("a", strings.Repeat("a", 1<<20)))))
	arm := imageOf(t, v1.Config{}, layerOf(t, file("a", "a")))
	config, err := arm.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config.Architecture = "s390x"
	if arm, err = mutate.ConfigFile(arm, config); err != nil {
		t.Fatal(err)
	}
	h.push(t, "library/arm:1", arm)
	h.push(t, "library/evil:1", imageOf(t, v1.Config{}, layerOf(t, file("../../evil", "x"))))
	h.push(t, "library/evillink:1", imageOf(t, v1.Config{}, layerOf(t, entry{Header: tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: "../../etc/passwd"}})))
	h.push(t, "library/deadlink:1", imageOf(t, v1.Config{}, layerOf(t, entry{Header: tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: "/etc/none"}})))
	blob := func(answer func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
				return false
			}
			answer(w, r)
			return true
		}
	}
	s := openStore(t, t.TempDir(), h)
	defer closeStore(t, s)
	for _, c := range []struct {
		name, ref string
		fault     func(http.ResponseWriter, *http.Request) bool
		want      Kind
	}{
		{"unknown tag", "app:2", nil, KindNotFound},
		{"unknown name", "none:1", nil, KindNotFound},
		{"another architecture", "arm:1", nil, KindPlatform},
		{"an entry outside", "evil:1", nil, KindInvalid},
		{"a hard link outside", "evillink:1", nil, KindInvalid},
		{"a hard link to nothing", "deadlink:1", nil, KindInvalid},
		{"unauthorized", "app:1", func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(401); return true }, KindUnauthorized},
		{"wrong bytes", "app:1", blob(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(bytes.ToUpper(h.real(r)))
		}), KindCorrupt},
		{"wrong bytes once more", "app:1", blob(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(bytes.ToUpper(h.real(r)))
		}), KindCorrupt},
		{"a registry that stops", "app:1", blob(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write([]byte("x"))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}), KindUnreachable},
		{"no such host", "registry.invalid/app:1", nil, KindNoSuchHost},
		{"nobody listens", "127.0.0.1:1/app:1", nil, KindUnreachable},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.fault != nil {
				h.fail(c.fault)
				defer h.fault.Store(nil)
			}
			_, err := s.Pull(t.Context(), c.ref, PullOptions{Owner: "x"})
			var p *PullError
			if !errors.As(err, &p) || p.Kind != c.want {
				t.Fatalf("got %v (%+v), want %s", err, p, c.want)
			}
			if p.Message() == "" || !strings.Contains(p.Message(), strings.Split(c.ref, ":")[0]) {
				t.Errorf("message %q", p.Message())
			}
		})
	}
	if _, err := s.Pull(t.Context(), "app:1", PullOptions{Owner: "x"}); err != nil {
		t.Errorf("after all those failures: %v", err)
	}
	if err := s.Release(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if owners, err := s.Owners(t.Context()); err != nil || len(owners) != 0 {
		t.Errorf("failed pulls hold %v, %v", owners, err)
	}
}

func TestAnImageThatNamesNoArchitectureIsTakenForThisMachines(t *testing.T) {
	h := newHub(t)
	img := imageOf(t, v1.Config{WorkingDir: "/old"}, layerOf(t, file("a", "a")))
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	s := openStore(t, t.TempDir(), h)
	defer closeStore(t, s)
	for _, os := range []string{"linux", ""} {
		config.Architecture, config.OS = "", os
		if img, err = mutate.ConfigFile(img, config); err != nil {
			t.Fatal(err)
		}
		h.push(t, "library/old:1", img)
		got, err := s.Pull(t.Context(), "old:1", PullOptions{Owner: "old"})
		if err != nil || got.Config.WorkDir != "/old" || len(got.Layers) != 1 {
			t.Errorf("os %q: %+v, %v", os, got, err)
		}
	}
	other := imageOf(t, v1.Config{WorkingDir: "/named"}, layerOf(t, file("b", "b")))
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux"}}},
		mutate.IndexAddendum{Add: other, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}}})
	ref, err := name.ParseReference(strings.TrimPrefix(h.URL, "http://")+"/library/both:1", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Pull(t.Context(), "both:1", PullOptions{Owner: "both"}); err != nil || got.Config.WorkDir != "/named" {
		t.Errorf("of two in an index: %+v, %v", got, err)
	}
}

func TestALayerThatBreaksOffIsResumed(t *testing.T) {
	h := newHub(t)
	text := make([]byte, 3<<20)
	for i := range text {
		text[i] = byte(i * i >> 7)
	}
	h.push(t, "library/app:1", imageOf(t, v1.Config{}, layerOf(t, file("big", string(text)))))
	var cut, resumed atomic.Int32
	h.fail(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/blobs/") || r.Method != http.MethodGet {
			return false
		}
		if r.Header.Get("Range") != "" {
			resumed.Add(1)
			whole := r.Clone(r.Context())
			whole.Header.Del("Range")
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(h.real(whole)))
			return true
		}
		blob := h.real(r)
		if len(blob) < 100_000 || !cut.CompareAndSwap(0, 1) {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(blob)))
		_, _ = w.Write(blob[:50_000])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	s := openStore(t, t.TempDir(), h)
	defer closeStore(t, s)
	img, err := s.Pull(t.Context(), "app:1", PullOptions{Owner: "x"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(img.Layers[0], "big"))
	if err != nil || !bytes.Equal(got, text) {
		t.Errorf("unpacked %d bytes, %v", len(got), err)
	}
	if cut.Load() != 1 || resumed.Load() == 0 {
		t.Errorf("broke off %d times, resumed %d", cut.Load(), resumed.Load())
	}
}

func TestWhatAKilledServerLeftOfALayerIsInNobodysWay(t *testing.T) {
	h, dir := newHub(t), t.TempDir()
	h.push(t, "library/app:1", imageOf(t, v1.Config{}, layerOf(t, file("a", "x"))))
	h.push(t, "library/app:2", imageOf(t, v1.Config{}, layerOf(t, file("b", "y"))))
	s := openStore(t, dir, h)
	if _, err := s.Pull(t.Context(), "app:1", PullOptions{Owner: "a"}); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	// Its directory was renamed, and what it is for was not written down.
	for n := range 20 {
		left := filepath.Join(dir, "layers", "snapshots", strconv.Itoa(n+1))
		if _, err := os.Stat(left); err == nil {
			continue
		}
		if err := os.MkdirAll(filepath.Join(left, "fs"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s = openStore(t, dir, h)
	defer closeStore(t, s)
	for _, ref := range []string{"app:1", "app:2"} {
		if _, err := s.Pull(t.Context(), ref, PullOptions{Owner: "b"}); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestCloseWaitsForWhatACancelledPullHasLeft(t *testing.T) {
	h := newHub(t)
	h.push(t, "library/app:1", imageOf(t, v1.Config{}, layerOf(t, file("a", "x"))))
	s := openPatient(t, t.TempDir(), h, 10*time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	busy, release := make(chan struct{}), make(chan struct{})
	_, err := s.Pull(ctx, "app:1", PullOptions{Owner: "a", Progress: func(line string) {
		if strings.HasPrefix(line, "Fetching") {
			cancel()
			close(busy)
			<-release
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("the pull: %v", err)
	}
	<-busy
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		close(release)
		t.Fatalf("closed under the work of a pull: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	close(release)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	// The work has ended as any pull that breaks off.
	s = openPatient(t, s.Dir, h, 10*time.Second)
	defer closeStore(t, s)
	if _, err := s.Pull(t.Context(), "app:1", PullOptions{Owner: "a"}); err != nil {
		t.Error(err)
	}
}
