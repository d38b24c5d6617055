package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/unpack"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/errdefs"
	"github.com/google/uuid"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/opendaytona/daytona/internal/space"
)

// Commit makes an image of the one with the digest and one more layer, which
// write writes as an uncompressed OCI layer, unpacks it and holds it for owner.
// Errors: ErrNotFound; write's.
func (s *Store) Commit(ctx context.Context, owner, base string, write func(context.Context, io.Writer) error) (*Image, error) {
	img, err := s.commitWithin(s.in(ctx), owner, base, write)
	if errdefs.IsNotFound(err) {
		err = errors.Join(ErrNotFound, err)
	}
	if err != nil {
		return nil, fmt.Errorf("commit on image %s: %w", base, err)
	}
	return img, nil
}

// commitWithin commits as long as there is space. Errors: space.ErrLow.
func (s *Store) commitWithin(ctx context.Context, owner, base string, write func(context.Context, io.Writer) error) (*Image, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { space.Watch(ctx, s.Dir, s.Log, cancel) })
	img, err := s.commit(ctx, owner, base, write)
	cancel(nil)
	watch.Wait()
	if low := context.Cause(ctx); err != nil && errors.Is(low, space.ErrLow) {
		s.wantCollection() // what it left is the first to go
		return nil, low
	}
	return img, err
}

func (s *Store) commit(ctx context.Context, owner, base string, write func(context.Context, io.Writer) error) (*Image, error) {
	// What is written belongs to nobody until the owner holds it.
	ctx, done, err := s.temporary(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	var manifest ocispec.Manifest
	if err := s.readJSON(ctx, ocispec.Descriptor{Digest: digest.Digest(base)}, &manifest); err != nil {
		return nil, err
	}
	var config ocispec.Image
	if err := s.readJSON(ctx, manifest.Config, &config); err != nil {
		return nil, err
	}
	layer, diffID, err := s.writeLayer(ctx, write)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffID)
	config.Created = &now
	config.History = append(config.History, ocispec.History{Created: &now, CreatedBy: "daytona snapshot of a sandbox"})
	configDesc, err := s.writeJSON(ctx, ocispec.MediaTypeImageConfig, config, nil)
	if err != nil {
		return nil, err
	}
	labels := map[string]string{"containerd.io/gc.ref.content.config": configDesc.Digest.String()}
	layers := make([]ocispec.Descriptor, 0, len(manifest.Layers)+1)
	for _, l := range append(manifest.Layers, layer) {
		l.MediaType, l.Annotations = ociLayer(l.MediaType), nil
		labels[fmt.Sprintf("containerd.io/gc.ref.content.l.%d", len(layers))] = l.Digest.String()
		layers = append(layers, l)
	}
	next := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: configDesc, Layers: layers}
	desc, err := s.writeJSON(ctx, ocispec.MediaTypeImageManifest, next, labels)
	if err != nil {
		return nil, err
	}
	if err := s.unpackHere(ctx, desc); err != nil {
		return nil, err
	}
	img, err := s.Image(ctx, desc.Digest.String())
	if err != nil {
		return nil, err
	}
	return img, s.Hold(ctx, owner, img.Digest)
}

// ociLayer is docker's media type as OCI has it, for a manifest must not mix
// them.
func ociLayer(mediaType string) string {
	switch mediaType {
	case images.MediaTypeDockerSchema2Layer:
		return ocispec.MediaTypeImageLayer
	case images.MediaTypeDockerSchema2LayerGzip:
		return ocispec.MediaTypeImageLayerGzip
	case images.MediaTypeDockerSchema2LayerZstd:
		return ocispec.MediaTypeImageLayerZstd
	}
	return mediaType
}

// writeLayer stores a layer, compressed, and returns it and the digest of its
// plain bytes.
func (s *Store) writeLayer(ctx context.Context, write func(context.Context, io.Writer) error) (_ ocispec.Descriptor, _ digest.Digest, err error) {
	w, err := s.content().Writer(ctx, content.WithRef("commit-"+uuid.NewString()))
	if err != nil {
		return ocispec.Descriptor{}, "", err
	}
	defer w.Close()
	compressed := digest.Canonical.Digester()
	size := &countingWriter{w: io.MultiWriter(w, compressed.Hash())}
	z, err := compression.CompressStream(size, compression.Zstd)
	if err != nil {
		return ocispec.Descriptor{}, "", err
	}
	plain := digest.Canonical.Digester()
	err = write(ctx, io.MultiWriter(z, plain.Hash()))
	if err = errors.Join(err, z.Close()); err != nil {
		return ocispec.Descriptor{}, "", err
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerZstd, Digest: compressed.Digest(), Size: size.n}
	label := content.WithLabels(map[string]string{"containerd.io/uncompressed": plain.Digest().String()})
	if err := w.Commit(ctx, desc.Size, desc.Digest, label); err != nil && !errdefs.IsAlreadyExists(err) {
		return ocispec.Descriptor{}, "", err
	}
	return desc, plain.Digest(), nil
}

func (s *Store) writeJSON(ctx context.Context, mediaType string, v any, labels map[string]string) (ocispec.Descriptor, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	err = content.WriteBlob(ctx, s.content(), "commit-"+desc.Digest.String(), bytes.NewReader(b), desc, content.WithLabels(labels))
	return desc, err
}

// unpackHere unpacks an image whose blobs are all here.
func (s *Store) unpackHere(ctx context.Context, desc ocispec.Descriptor) error {
	store := s.content()
	u, err := unpack.NewUnpacker(ctx, store, s.unpackOption(thisMachine()))
	if err != nil {
		return err
	}
	err = images.Dispatch(ctx, u.Unpack(images.ChildrenHandler(store)), nil, desc)
	if _, unpackErr := u.Wait(); err == nil {
		err = unpackErr
	}
	return err
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
