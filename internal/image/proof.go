package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/converter/uncompress"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"
)

// Blobs and layers are stored once for all organizations, and a manifest can name
// any digest. So what is here already is used for an image only when its registry
// shows that whoever pulls may have it: the registry has it and either is where it
// once came from, or sends all of it, which is compared. That a registry says to
// have a blob is no proof, because it may be anybody's.

// sourceLabel marks a blob that was fetched whole from a registry, by its host
// with the port.
func sourceLabel(host string) string { return "daytona.source/" + host }

// hostedHost stands for the registry that clients push to: it is this server's
// own, and has what it was sent.
const hostedHost = "this server"

// hostOf is the registry of a normalized reference.
func hostOf(ref string) (string, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", err
	}
	return reference.Domain(named), nil
}

// Prove asks the registry of a reference for a proof of what is here already of
// its image, and returns the digest that it stands for, which may be an index's.
// Errors: *PullError.
func (s *Store) Prove(ctx context.Context, ref string, c Credentials) (digest string, err error) {
	err = s.persist(ctx, ref, c, func(string) {}, func(ctx context.Context) error {
		ctx, done, err := s.temporary(ctx)
		if err != nil {
			return err
		}
		defer done()
		desc, open, err := s.resolve(ctx, ref, nil, c)
		if err != nil {
			return err
		}
		fetcher, err := open()
		if err != nil {
			return fmt.Errorf("fetch: %w", err)
		}
		host, err := hostOf(ref)
		if err != nil {
			return err
		}
		get := s.fetchAnew(remotes.FetchHandler(s.content(), fetcher))
		layersLater := func(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
			if images.IsLayerType(d.MediaType) {
				return nil, nil // nobody's yet
			}
			return s.fetchFrom(get, host)(ctx, d)
		}
		fetch := s.proven(layersLater, s.fetchFrom(get, host), fetcher, host)
		platform := thisMachine()
		children := images.LimitManifests(images.FilterPlatforms(images.ChildrenHandler(s.content()), platform), platform, 1)
		err = images.Dispatch(ctx, images.Handlers(fetch, s.layersProven(fetch), children), semaphore.NewWeighted(int64(s.Parallel)), desc)
		digest = desc.Digest.String()
		return s.orPlatform(ctx, desc, platform, err)
	})
	return digest, err
}

// proven fetches with absent what is not here, and asks the registry for a proof of
// what is, once for each digest. To fetch with present what is here is to have it
// held by the lease, or to have it again where it was collected meanwhile.
func (s *Store) proven(absent, present images.HandlerFunc, fetcher remotes.Fetcher, host string) images.HandlerFunc {
	var outcomes sync.Map // of handlers, by the digest
	return func(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		once := sync.OnceValues(func() ([]ocispec.Descriptor, error) {
			info, err := s.content().Info(ctx, d.Digest)
			if errdefs.IsNotFound(err) {
				return absent(ctx, d)
			}
			if err != nil {
				return nil, err
			}
			here := d
			here.Size = info.Size // the descriptor may be by another than who wrote the blob
			if info.Labels[sourceLabel(host)] != "" {
				err = served(ctx, fetcher, here)
			} else {
				err = same(ctx, fetcher, here)
			}
			if err != nil {
				return nil, err
			}
			return present(ctx, d)
		})
		outcome, _ := outcomes.LoadOrStore(d.Digest, once)
		return outcome.(func() ([]ocispec.Descriptor, error))()
	}
}

// fetchFrom fetches with get and marks the blob as one of the registry's.
func (s *Store) fetchFrom(get images.HandlerFunc, host string) images.HandlerFunc {
	return func(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		children, err := get(ctx, d)
		if err == nil {
			err = s.markSource(ctx, d.Digest, host)
		}
		return children, err
	}
}

func (s *Store) markSource(ctx context.Context, blob digest.Digest, host string) error {
	key := sourceLabel(host)
	_, err := s.content().Update(ctx, content.Info{Digest: blob, Labels: map[string]string{key: "1"}}, "labels."+key)
	return err
}

// served asks for the first byte of a blob.
func served(ctx context.Context, fetcher remotes.Fetcher, d ocispec.Descriptor) error {
	blob, err := fetcher.Fetch(ctx, d)
	if err != nil {
		return err
	}
	defer blob.Close()
	if _, err := io.ReadFull(blob, make([]byte, 1)); err != nil {
		return fmt.Errorf("ask for blob %s: %w", d.Digest, err)
	}
	return nil
}

// same fetches a blob and compares it with its digest.
func same(ctx context.Context, fetcher remotes.Fetcher, d ocispec.Descriptor) error {
	blob, err := fetcher.Fetch(ctx, d)
	if err != nil {
		return err
	}
	defer blob.Close()
	verifier := d.Digest.Verifier()
	n, err := io.Copy(verifier, io.LimitReader(blob, d.Size+1))
	if err != nil {
		return fmt.Errorf("fetch blob %s: %w", d.Digest, err)
	}
	if n != d.Size || !verifier.Verified() {
		return fmt.Errorf("blob %s: %w: the registry sends other bytes", d.Digest, errdefs.ErrFailedPrecondition)
	}
	return nil
}

// layersProven makes sure, once a manifest is here, that each layer that is
// unpacked already is the layer of the manifest: its config names it by the digest
// of what it holds, and could name anybody's.
func (s *Store) layersProven(fetch images.HandlerFunc) images.HandlerFunc {
	return func(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		if !images.IsManifestType(d.MediaType) {
			return nil, nil
		}
		var manifest ocispec.Manifest
		if err := s.readJSON(ctx, d, &manifest); err != nil {
			return nil, err
		}
		if !images.IsConfigType(manifest.Config.MediaType) {
			return nil, nil // an attestation, or an artifact
		}
		if _, err := fetch(ctx, manifest.Config); err != nil {
			return nil, err
		}
		var config ocispec.Image
		if err := s.readJSON(ctx, manifest.Config, &config); err != nil {
			return nil, err
		}
		diffs := config.RootFS.DiffIDs
		if len(diffs) != len(manifest.Layers) {
			return nil, fmt.Errorf("%w: its manifest has %d layers, its config %d", errInvalid, len(manifest.Layers), len(diffs))
		}
		for i, layer := range manifest.Layers {
			_, err := s.meta.Snapshotter(snapshotter).Stat(ctx, identity.ChainID(diffs[:i+1]).String())
			if errdefs.IsNotFound(err) {
				return nil, nil // it, and all above it, are unpacked, and compared then
			}
			if err != nil {
				return nil, err
			}
			if _, err := fetch(ctx, layer); err != nil {
				return nil, err
			}
			if err := s.holds(ctx, layer, diffs[i]); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
}

// holds fails unless the digest of what a layer's blob holds is diff. The store
// remembers it of those that it has unpacked.
func (s *Store) holds(ctx context.Context, layer ocispec.Descriptor, diff digest.Digest) error {
	info, err := s.content().Info(ctx, layer.Digest)
	if err != nil {
		return err
	}
	if was := info.Labels[labels.LabelUncompressed]; was != "" {
		if was == diff.String() {
			return nil
		}
		return fmt.Errorf("%w: its config takes layer %s for another", errInvalid, layer.Digest)
	}
	if uncompress.IsUncompressedType(layer.MediaType) && layer.Digest == diff {
		return nil
	}
	blob, err := s.content().ReaderAt(ctx, layer)
	if err != nil {
		return err
	}
	defer blob.Close()
	text, err := compression.DecompressStream(content.NewReader(blob))
	if err != nil {
		return err
	}
	defer text.Close()
	verifier := diff.Verifier()
	if _, err := io.Copy(verifier, text); err != nil {
		return errors.Join(errInvalid, err)
	}
	if !verifier.Verified() {
		return fmt.Errorf("%w: its config takes layer %s for another", errInvalid, layer.Digest)
	}
	_, err = s.content().Update(ctx, content.Info{Digest: layer.Digest, Labels: map[string]string{labels.LabelUncompressed: diff.String()}}, "labels."+labels.LabelUncompressed)
	return err
}
