package localimage

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

var amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}

// made is an image for an architecture.
func made(t *testing.T, architecture string) v1.Image {
	t.Helper()
	img, err := random.Image(1000, 2)
	must(t, err)
	config, err := img.ConfigFile()
	must(t, err)
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", architecture
	img, err = mutate.ConfigFile(img, config)
	must(t, err)
	return img
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestImagesAreFoundByTheFormOfTheirNames(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", t.TempDir()) // where nothing is left
	img, other := made(t, "amd64"), made(t, "amd64")
	tag := func(text string) name.Tag {
		tag, err := name.NewTag(text)
		must(t, err)
		return tag
	}
	one, two := filepath.Join(dir, "My App.tar"), filepath.Join(dir, "two.tar")
	must(t, tarball.WriteToFile(one, tag("app:1"), img))
	must(t, tarball.MultiWriteToFile(two, map[name.Tag]v1.Image{tag("team/app:1"): img, tag("team/other:2"): other}))
	packed := filepath.Join(dir, "app.tar.gz")
	pack(t, one, packed)
	oci := filepath.Join(dir, "oci")
	path, err := layout.Write(oci, empty.Index)
	must(t, err)
	must(t, path.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "app:1"})))
	must(t, path.AppendImage(other, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "other:2"})))
	foreign := filepath.Join(dir, "foreign.tar")
	must(t, tarball.WriteToFile(foreign, tag("app:1"), made(t, "arm64")))
	text := filepath.Join(dir, "text.tar")
	must(t, os.WriteFile(text, []byte("no archive"), 0o600))

	for where, want := range map[string]struct{ name, tag, fails string }{
		one:                     {"my-app", "", ""},
		packed:                  {"app", "", ""},
		two + ":team/other:2":   {"team/other", "2", ""},
		oci + ":app:1":          {"app", "1", ""},
		two:                     {fails: "has several images: name one of them behind a colon"},
		oci:                     {fails: "has several images"},
		two + ":team/app:9":     {fails: "has no image team/app:9, but "},
		oci + ":none:1":         {fails: "has no image none:1, but app:1, other:2"},
		foreign:                 {fails: "is for linux/arm64, but the server needs linux/amd64: build it with --platform linux/amd64."},
		text:                    {fails: "cannot be read as an image"},
		dir:                     {fails: "is no directory in the OCI image layout"},
		filepath.Join(dir, "x"): {fails: "There is no "},
	} {
		got, err := Open(t.Context(), where, "", amd64)
		if want.fails != "" {
			var told Error
			if !errors.As(err, &told) || !strings.Contains(string(told), want.fails) {
				t.Errorf("%s: %v, want %q", where, err, want.fails)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", where, err)
			continue
		}
		if got.Name != want.name || got.Tag != want.tag {
			t.Errorf("%s: is named %s:%s", where, got.Name, got.Tag)
		}
		if layers, err := got.Layers(); err != nil || len(layers) != 2 {
			t.Errorf("%s: %d layers, %v", where, len(layers), err)
		}
		must(t, got.Close())
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func pack(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	must(t, err)
	defer in.Close()
	out, err := os.Create(to)
	must(t, err)
	z := gzip.NewWriter(out)
	_, err = io.Copy(z, in)
	must(t, errors.Join(err, z.Close(), out.Close()))
}

func TestTheDockerDaemonIsAskedByItsSocket(t *testing.T) {
	file := filepath.Join(t.TempDir(), "image.tar")
	tag, err := name.NewTag("team/app:1")
	must(t, err)
	must(t, tarball.WriteToFile(file, tag, made(t, "amd64")))
	saved := 0
	daemon := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/images/team/app:1/json":
			_, _ = io.WriteString(w, `{"Os":"linux","Architecture":"amd64"}`)
		case "/images/foreign:1/json":
			_, _ = io.WriteString(w, `{"Os":"linux","Architecture":"arm64"}`)
		case "/images/team/app:1/get":
			saved++
			http.ServeFile(w, r, file)
		default:
			http.NotFound(w, r)
		}
	}))
	defer daemon.Close()
	t.Setenv("DOCKER_HOST", "tcp://"+daemon.Listener.Addr().String())
	img, err := Open(t.Context(), "team/app:1", Docker, amd64)
	must(t, err)
	if img.Name != "team/app" || img.Tag != "1" || saved != 1 {
		t.Errorf("got %s:%s, saved %d times", img.Name, img.Tag, saved)
	}
	must(t, img.Close())
	for image, says := range map[string]string{"foreign:1": "is for linux/arm64", "none:1": "docker has no such image"} {
		if _, err := Open(t.Context(), image, Docker, amd64); err == nil || !strings.Contains(err.Error(), says) || saved != 1 {
			t.Errorf("%s: %v", image, err)
		}
	}
	daemon.Close()
	if _, err := Open(t.Context(), "team/app:1", Docker, amd64); err == nil || !strings.Contains(err.Error(), "docker does not answer") {
		t.Errorf("without a daemon: %v", err)
	}
	t.Setenv("DOCKER_HOST", "ssh://elsewhere")
	if _, err := Open(t.Context(), "team/app:1", Docker, amd64); err == nil || !strings.Contains(err.Error(), "docker save") {
		t.Errorf("by ssh: %v", err)
	}
}
