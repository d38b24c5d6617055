package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/durable"
)

// applier unpacks one layer straight into the directory of its snapshot, with
// overlayfs' whiteouts. Unlike containerd's own it refuses a layer that names
// paths outside itself instead of confining them: nobody makes one by accident.
type applier struct {
	provider content.Provider
	take     Take // told of each file before it is made
}

// Apply implements diff.Applier.
func (a applier) Apply(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, _ ...diff.ApplyOpt) (ocispec.Descriptor, error) {
	if _, err := images.DiffCompression(ctx, desc.MediaType); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("%w: layer of type %s", errInvalid, desc.MediaType)
	}
	dir, parents, err := target(mounts)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	blob, err := a.provider.ReaderAt(ctx, desc)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("read layer %s: %w", desc.Digest, err)
	}
	defer blob.Close()
	plain, err := compression.DecompressStream(content.NewReader(blob))
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("%w: decompress layer %s: %w", errInvalid, desc.Digest, err)
	}
	defer plain.Close()
	digester := digest.Canonical.Digester()
	entries := &meter{take: a.take}
	counted := &countingReader{r: io.TeeReader(plain, digester.Hash())}
	var foreign Foreign
	filter := func(h *tar.Header) (bool, error) {
		foreign.fold(h)
		return entries.entry(h)
	}
	_, err = archive.Apply(ctx, dir, counted, archive.WithFilter(filter), archive.WithParents(parents), archive.WithConvertWhiteout(archive.OverlayConvertWhiteout))
	if err == nil {
		err = foreign.record(dir)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, counted) // what follows the end of the archive is part of the digest
	}
	if err != nil {
		if !ofMachine(err) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, errInvalid) {
			err = fmt.Errorf("%w: %w", errInvalid, err)
		}
		return ocispec.Descriptor{}, fmt.Errorf("unpack layer %s: %w", desc.Digest, err)
	}
	// Before the layer is recorded as whole: nobody would look at it again.
	if err := durable.SyncFilesystem(dir); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("unpack layer %s: %w", desc.Digest, err)
	}
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Size: counted.n, Digest: digester.Digest()}, nil
}

// ofMachine tells whether unpacking failed by the machine. All else, such as a
// link to what is not there, is the layer's: its bytes are those of its digest.
func ofMachine(err error) bool {
	for _, cause := range []error{
		context.Canceled, context.DeadlineExceeded, unix.ENOSPC, unix.EDQUOT, unix.EIO, unix.EROFS, unix.ENOMEM, unix.EMFILE, unix.ENFILE, unix.EPERM, unix.EACCES,
	} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// target is the directory that the mounts of a snapshot in the making write to,
// and those below it.
func target(mounts []mount.Mount) (dir string, parents []string, err error) {
	if len(mounts) == 1 {
		switch m := mounts[0]; m.Type {
		case "bind":
			return m.Source, nil, nil
		case "overlay":
			for _, o := range m.Options {
				if v, ok := strings.CutPrefix(o, "upperdir="); ok {
					dir = v
				}
			}
			return dir, lowerDirs(m), nil
		}
	}
	return "", nil, fmt.Errorf("unpack: unexpected mounts %v", mounts)
}

// lowerDirs are the read-only directories of a mount, topmost first.
func lowerDirs(m mount.Mount) []string {
	if m.Type == "bind" {
		return []string{m.Source}
	}
	for _, o := range m.Options {
		if v, ok := strings.CutPrefix(o, "lowerdir="); ok {
			return strings.Split(v, ":")
		}
	}
	return nil
}

// inside refuses entries that lead out of their layer.
func inside(h *tar.Header) (bool, error) {
	names := []string{h.Name}
	if h.Typeflag == tar.TypeLink {
		names = append(names, h.Linkname)
	}
	for _, name := range names {
		if clean := filepath.Clean(name); clean == ".." || strings.HasPrefix(clean, "../") {
			return false, fmt.Errorf("%w: it has an entry outside its root, %q", errInvalid, name)
		}
	}
	return true, nil
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
