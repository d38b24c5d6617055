package server

import (
	"archive/tar"
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// testHub is a registry that stands in for docker.io and has library/small:1.
func testHub(t *testing.T) (url string) {
	t.Helper()
	hub := httptest.NewServer(testRegistry())
	t.Cleanup(hub.Close)
	push(t, hub.URL, "library/small:1")
	return hub.URL
}

func testRegistry() http.Handler { return registry.New(registry.Logger(log.New(io.Discard, "", 0))) }

func push(t *testing.T, url, repository string) {
	t.Helper()
	ref, err := name.ParseReference(strings.TrimPrefix(url, "http://")+"/"+repository, name.Insecure)
	if err == nil {
		err = remote.Write(ref, smallImage(t))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// smallImage has one empty file.
func smallImage(t *testing.T) v1.Image {
	t.Helper()
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "hello", Typeflag: tar.TypeReg, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{Architecture: runtime.GOARCH, OS: "linux"})
	if err == nil {
		img, err = mutate.AppendLayers(img, l)
	}
	if err != nil {
		t.Fatal(err)
	}
	return img
}
