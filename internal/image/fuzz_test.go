package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/opendaytona/daytona/internal/oci"
)

// FuzzReference looks for a reference that is valid and does not name one image
// of one registry.
func FuzzReference(f *testing.F) {
	for _, ref := range []string{"python:3.12-slim", "ghcr.io/a/b:1", "localhost:5000/x@sha256:" + strings.Repeat("a", 64), "a:latest", "A/b:1", "x::1", "127.0.0.1:80/a:b"} {
		f.Add(ref)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		if oci.ValidateReference(ref) != nil {
			return
		}
		full, err := oci.Normalized(ref)
		if err != nil {
			t.Fatalf("%q is valid and has no full form: %v", ref, err)
		}
		at, err := repositoryOf(ref)
		if err != nil || at.Host == "" || at.Host != oci.RegistryOf(full) || !strings.HasPrefix(full, at.Host+"/") {
			t.Fatalf("%q is %q of %+v, %v", ref, full, at, err)
		}
		digest := "sha256:" + strings.Repeat("0", 64)
		pinned, err := oci.Pinned(ref, digest)
		if err != nil || !strings.HasSuffix(pinned, "@"+digest) || oci.ValidateReference(pinned) != nil || oci.RegistryOf(pinned) != at.Host {
			t.Fatalf("%q is pinned as %q, %v", ref, pinned, err)
		}
	})
}

// FuzzLayer looks for a layer that changes something outside the directory that
// it is unpacked to, or that is accepted as another than it is.
func FuzzLayer(f *testing.F) {
	link := func(kind byte, name, to string) entry {
		return entry{Header: tar.Header{Name: name, Typeflag: kind, Linkname: to, Mode: 0o777}}
	}
	for _, entries := range [][]entry{
		{file("a/b", "text"), file("a/.wh.c", ""), file("a/.wh..wh..opq", "")},
		{link(tar.TypeSymlink, "up", "../outside"), file("up/file", "changed")},
		{link(tar.TypeSymlink, "up", "/"), link(tar.TypeLink, "hard", "up/etc/passwd")},
		{link(tar.TypeLink, "hard", "../outside/file"), file("../outside/file", "changed")},
		{file("x", "1"), link(tar.TypeLink, "y", "x"), file("x/z", "2")},
		{{Header: tar.Header{Name: "device", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}}, {Header: tar.Header{Name: "pipe", Typeflag: tar.TypeFifo}}},
		{{Header: tar.Header{Name: "x", Typeflag: tar.TypeReg, PAXRecords: map[string]string{"SCHILY.xattr.user.a": "b", "GNU.sparse.map": "0,1"}}}},
	} {
		plain, err := layerOf(f, entries...).Uncompressed()
		if err != nil {
			f.Fatal(err)
		}
		data, err := io.ReadAll(plain)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	root, err := os.MkdirTemp(memory, "layers-")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { os.RemoveAll(root) })
	outside := filepath.Join(root, "outside")
	if err := os.Mkdir(outside, 0o755); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "file"), []byte("as it was"), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir, err := os.MkdirTemp(root, "layer-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		a := applier{provider: oneBlob(data), take: Limited(1<<20, 1000)}
		got, err := a.Apply(t.Context(), ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Size: int64(len(data))}, []mount.Mount{{Type: "bind", Source: dir}})
		if err == nil && bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
			err = errors.New("compressed") // of which the digest is not that of data
		}
		if err == nil && got.Digest != digest.FromBytes(data) {
			t.Errorf("the layer %s is recorded as %s", digest.FromBytes(data), got.Digest)
		}
		if text, err := os.ReadFile(filepath.Join(outside, "file")); err != nil || string(text) != "as it was" {
			t.Errorf("the file outside is %q, %v", text, err)
		}
		if names, err := os.ReadDir(outside); err != nil || len(names) != 1 {
			t.Errorf("outside are %v, %v", names, err)
		}
		info, err := os.Stat(filepath.Join(outside, "file"))
		if err != nil || info.Mode() != 0o600 || info.Sys().(*syscall.Stat_t).Nlink != 1 {
			t.Errorf("the file outside is %v, %v", info, err)
		}
	})
}

// memory is where a synced filesystem costs nothing.
const memory = "/dev/shm"

// oneBlob is a provider of nothing else.
type oneBlob []byte

func (b oneBlob) ReaderAt(context.Context, ocispec.Descriptor) (content.ReaderAt, error) {
	return blobReader{bytes.NewReader(b)}, nil
}

type blobReader struct{ *bytes.Reader }

func (blobReader) Close() error { return nil }
