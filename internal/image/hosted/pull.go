package hosted

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/distribution/distribution/v3"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Resolver serves pulls of an organization's image in process, without network,
// TLS and credentials; nil when the image is not in this registry. Nothing of
// the project is collected until done is called. Errors: ErrForeign.
func (r *Registry) Resolver(organizationID, image string) (resolver remotes.Resolver, done func(), err error) {
	ref, ours := Parse(organizationID, image)
	if !ours {
		if named, err := reference.ParseNormalizedNamed(image); err == nil {
			if other, _, _ := cutProject(reference.Path(named)); other != "" && r.exists(other) {
				return nil, nil, ErrForeign
			}
		}
		return nil, func() {}, nil
	}
	p, err := r.project(organizationID)
	if err != nil {
		return nil, nil, err
	}
	p.gate.RLock()
	return &source{p, ref}, p.gate.RUnlock, nil
}

// source is one image. It implements remotes.Resolver.
type source struct {
	project *project
	ref     Reference
}

// Resolve implements remotes.Resolver.
func (s *source) Resolve(ctx context.Context, name string) (string, ocispec.Descriptor, error) {
	d, _, err := s.project.manifest(ctx, s.ref)
	return name, d, err
}

// Fetcher implements remotes.Resolver.
func (s *source) Fetcher(context.Context, string) (remotes.Fetcher, error) {
	return remotes.FetcherFunc(s.fetch), nil
}

// Pusher implements remotes.Resolver.
func (s *source) Pusher(context.Context, string) (remotes.Pusher, error) {
	return nil, errdefs.ErrNotImplemented
}

func (s *source) fetch(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	if images.IsManifestType(d.MediaType) || images.IsIndexType(d.MediaType) {
		_, text, err := s.project.manifest(ctx, Reference{Repository: s.ref.Repository, Digest: d.Digest})
		return io.NopCloser(bytes.NewReader(text)), err
	}
	repository, err := s.project.repository(ctx, s.ref.Repository)
	if err != nil {
		return nil, err
	}
	blob, err := repository.Blobs(ctx).Open(ctx, d.Digest)
	if err != nil {
		return nil, missing(fmt.Errorf("open blob %s: %w", d.Digest, err))
	}
	return blob, nil
}

func (p *project) repository(ctx context.Context, name string) (distribution.Repository, error) {
	named, err := reference.WithName(name)
	if err != nil {
		return nil, err
	}
	return p.content.Repository(ctx, named)
}

// manifest finds a manifest, or an index, and its text.
func (p *project) manifest(ctx context.Context, ref Reference) (d ocispec.Descriptor, text []byte, err error) {
	repository, err := p.repository(ctx, ref.Repository)
	if err != nil {
		return d, nil, err
	}
	dgst := ref.Digest
	if dgst == "" {
		// What a request names becomes part of a path.
		if _, err := reference.WithTag(repository.Named(), ref.Tag); err != nil {
			return d, nil, fmt.Errorf("find tag %q of %s: %w", ref.Tag, ref.Repository, err)
		}
		tagged, err := repository.Tags(ctx).Get(ctx, ref.Tag)
		if err != nil {
			return d, nil, missing(fmt.Errorf("find tag %s of %s: %w", ref.Tag, ref.Repository, err))
		}
		dgst = tagged.Digest
	}
	m, err := p.readManifest(ctx, repository, dgst)
	if err != nil {
		return d, nil, missing(err)
	}
	mediaType, text, err := m.Payload()
	return ocispec.Descriptor{MediaType: mediaType, Digest: dgst, Size: int64(len(text))}, text, err
}

func (p *project) readManifest(ctx context.Context, repository distribution.Repository, dgst digest.Digest) (distribution.Manifest, error) {
	manifests, err := repository.Manifests(ctx)
	if err != nil {
		return nil, err
	}
	m, err := manifests.Get(ctx, dgst)
	if err != nil {
		return nil, fmt.Errorf("read manifest %s of %s: %w", dgst, repository.Named(), err)
	}
	return m, nil
}

// missing marks the registry's errors that say so as containerd's.
func missing(err error) error {
	var tag distribution.ErrTagUnknown
	var repository distribution.ErrRepositoryUnknown
	var revision distribution.ErrManifestUnknownRevision
	var manifest distribution.ErrManifestUnknown
	if errors.As(err, &tag) || errors.As(err, &repository) || errors.As(err, &revision) || errors.As(err, &manifest) || errors.Is(err, distribution.ErrBlobUnknown) {
		return fmt.Errorf("%w: %w", errdefs.ErrNotFound, err)
	}
	return err
}
