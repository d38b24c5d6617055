package hosted

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// When a file was last used is its modification time: the registry writes it
// anew when it is pushed again, and touch moves it when a client asks whether it
// is there, which is how a push finds that it need not send it.

// Where distribution's storage keeps things.
func (p *project) storeDir() string        { return filepath.Join(p.root, "docker/registry/v2") }
func (p *project) repositoriesDir() string { return filepath.Join(p.storeDir(), "repositories") }

func (p *project) blobFile(d digest.Digest) string {
	return filepath.Join(p.storeDir(), "blobs", d.Algorithm().String(), d.Encoded()[:2], d.Encoded(), "data")
}

func (p *project) revisionFile(repository string, d digest.Digest) string {
	return filepath.Join(p.repositoriesDir(), repository, "_manifests/revisions", d.Algorithm().String(), d.Encoded(), "link")
}

// cutProject is a repository's project and its name in there.
func cutProject(repository string) (organizationID, name string, ok bool) {
	return strings.Cut(repository, "/")
}

// touch counts what a request asks for as used.
func (p *project) touch(q *http.Request) {
	now, path := time.Now(), strings.TrimPrefix(q.URL.Path, prefix)
	if repository, ref, ok := strings.Cut(path, "/manifests/"); ok {
		r := Reference{Repository: repository, Tag: ref}
		if d, err := digest.Parse(ref); err == nil {
			r.Digest = d
		}
		if d, _, err := p.manifest(q.Context(), r); err == nil {
			_ = os.Chtimes(p.revisionFile(repository, d.Digest), now, now) // or the registry says that it is not there
		}
	}
	_, blob, _ := strings.Cut(path, "/blobs/")
	for _, text := range []string{blob, q.URL.Query().Get("mount"), q.URL.Query().Get("digest")} {
		if d, err := digest.Parse(text); err == nil {
			_ = os.Chtimes(p.blobFile(d), now, now) // as above
		}
	}
}

// link makes a blob that a client asks for known in the repository it asks
// about, if another repository of the project has it: so nothing is sent twice.
// Whoever asks may read them all.
func (p *project) link(q *http.Request) {
	name, text, _ := strings.Cut(strings.TrimPrefix(q.URL.Path, prefix), "/blobs/")
	d, err := digest.Parse(text)
	if err != nil {
		return
	}
	info, err := os.Stat(p.blobFile(d))
	if err != nil {
		return
	}
	repository, err := p.repository(q.Context(), name)
	if err != nil {
		return
	}
	blobs := repository.Blobs(q.Context())
	if _, err := blobs.Stat(q.Context(), d); err == nil {
		return // it is known
	}
	// Without success the registry says that it is not there, and it is sent.
	upload, err := blobs.Create(q.Context(), known{ocispec.Descriptor{Digest: d, Size: info.Size(), MediaType: "application/octet-stream"}, repository.Named()})
	if err == nil { // it was not mounted, but begun
		_ = upload.Cancel(q.Context()) // or a collection does it
	}
}

// known mounts a blob of the project. It implements distribution.BlobCreateOption.
type known struct {
	blob ocispec.Descriptor
	name reference.Named
}

// Apply implements distribution.BlobCreateOption.
func (k known) Apply(to any) error {
	o, ok := to.(*distribution.CreateOptions)
	if !ok {
		return fmt.Errorf("mount into %T", to)
	}
	from, err := reference.WithDigest(k.name, k.blob.Digest)
	o.Mount.ShouldMount, o.Mount.From, o.Mount.Stat = true, from, &k.blob
	return err
}

// Collections are made when somebody asks, and so often.
const maxPeriod = 10 * time.Minute

// Run removes what nothing needs any more until ctx ends.
func (r *Registry) Run(ctx context.Context) error {
	tick := time.NewTicker(min(maxPeriod, r.Keep/2))
	defer tick.Stop()
	for {
		if err := r.Collect(ctx, time.Now()); err != nil && ctx.Err() == nil {
			r.Log.Error("collect pushed images", "err", err)
		}
		select {
		case <-tick.C:
		case <-r.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// Collect removes, as of now, the images that no snapshot is made of and that
// were last used before as long as they are kept, and then the blobs and the
// uploads that nothing needs. A project that is in use is left for the next time.
func (r *Registry) Collect(ctx context.Context, now time.Time) error {
	entries, err := os.ReadDir(r.projectsDir())
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		p, err := r.project(e.Name())
		if err == nil {
			err = r.collect(ctx, p, now)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("collect project %s: %w", e.Name(), err))
		}
	}
	return errors.Join(errs...)
}

func (r *Registry) collect(ctx context.Context, p *project, now time.Time) error {
	if !p.gate.TryLock() {
		return nil
	}
	defer p.gate.Unlock()
	// Behind the gate: a snapshot that is recorded later finds its image or not,
	// but never half of it.
	kept, err := r.Kept(ctx)
	if err != nil {
		return err
	}
	kept = slices.DeleteFunc(kept, func(k Reference) bool { return k.OrganizationID != p.organizationID })
	s := &sweep{project: p, unused: now.Add(-r.Keep), abandoned: now.Add(-min(accessLife, r.Keep)), needed: map[digest.Digest]bool{}}
	if r.Hold != nil && r.Hold() {
		s.unused = time.Time{}
	}
	names, err := p.repositoryNames(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.manifests(ctx, name, kept); err != nil {
			return err
		}
	}
	if err := s.blobs(ctx, names); err != nil {
		return err
	}
	if err := s.rest(); err != nil {
		return err
	}
	p.recount(r)
	if s.removed > 0 {
		r.Log.Info("collected pushed images", "project", p.organizationID, "manifests and blobs", s.removed, "left", p.used.Load())
	}
	return nil
}

// Forget is told that a snapshot has gone that was made of the image: unless
// another one needs it, the image is kept no longer than a push may count on it.
func (r *Registry) Forget(organizationID, image, manifestDigest string, now time.Time) error {
	ref, ours := Parse(organizationID, image)
	if !ours || !r.exists(organizationID) {
		return nil
	}
	p, err := r.project(organizationID)
	if err != nil {
		return err
	}
	ref.Digest = digest.Digest(manifestDigest)
	ctx := context.Background() // some small files
	named, err := p.repository(ctx, ref.Repository)
	if err != nil {
		return err
	}
	files := []string{}
	if m, err := p.readManifest(ctx, named, ref.Digest); err == nil && ref.Digest.Validate() == nil {
		files = append(files, p.revisionFile(ref.Repository, ref.Digest), p.blobFile(ref.Digest))
		for _, d := range m.References() {
			files = append(files, p.blobFile(d.Digest))
		}
	}
	if ref.Tag != "" {
		if d, _, err := p.manifest(ctx, Reference{Repository: ref.Repository, Tag: ref.Tag}); err == nil {
			files = append(files, p.revisionFile(ref.Repository, d.Digest), p.blobFile(d.Digest))
		}
	}
	// Their last use moves back, so that they go an hour after it instead of a
	// day. Those that it would move further are gone by then anyway, or were
	// moved already.
	back := r.Keep - min(accessLife, r.Keep)
	slices.Sort(files)
	for _, file := range slices.Compact(files) {
		info, err := os.Stat(file)
		if err != nil || !info.ModTime().After(now.Add(-back)) {
			continue
		}
		used := info.ModTime().Add(-back)
		if err := os.Chtimes(file, used, used); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget image %s: %w", image, err)
		}
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return nil
}

func (p *project) repositoryNames(ctx context.Context) (names []string, err error) {
	all, ok := p.content.(distribution.RepositoryEnumerator)
	if !ok {
		return nil, errors.New("the storage does not list repositories")
	}
	err = all.Enumerate(ctx, func(name string) error {
		names = append(names, name)
		return nil
	})
	return names, ignoreGone(err)
}

// sweep is one collection of a project.
type sweep struct {
	*project
	unused    time.Time // what was last used before goes
	abandoned time.Time // and uploads that got nothing since
	needed    map[digest.Digest]bool
	removed   int
}

// manifests marks what a repository needs, and removes its other manifests.
func (s *sweep) manifests(ctx context.Context, name string, kept []Reference) error {
	repository, err := s.repository(ctx, name)
	if err != nil {
		return err
	}
	manifests, err := repository.Manifests(ctx)
	if err != nil {
		return err
	}
	all, ok := manifests.(distribution.ManifestEnumerator)
	if !ok {
		return errors.New("the storage does not list manifests")
	}
	var revisions []digest.Digest
	err = all.Enumerate(ctx, func(d digest.Digest) error {
		revisions = append(revisions, d)
		return nil
	})
	if err := ignoreGone(err); err != nil {
		return fmt.Errorf("list manifests of %s: %w", name, err)
	}
	tags, err := repository.Tags(ctx).All(ctx)
	if err := ignoreGone(err); err != nil {
		return fmt.Errorf("list tags of %s: %w", name, err)
	}
	mine := map[digest.Digest]bool{}
	for _, k := range kept {
		if k.Repository != name {
			continue
		}
		if k.Digest == "" {
			if d, err := repository.Tags(ctx).Get(ctx, k.Tag); err == nil {
				k.Digest = d.Digest
			}
		}
		s.mark(ctx, repository, k.Digest, mine)
	}
	for _, d := range revisions {
		if used(s.revisionFile(name, d)).After(s.unused) {
			s.mark(ctx, repository, d, mine)
		}
	}
	for _, d := range revisions {
		if mine[d] {
			continue
		}
		if err := s.vacuum.RemoveManifest(name, d, tags); ignoreGone(err) != nil {
			return fmt.Errorf("remove manifest %s of %s: %w", d, name, err)
		}
		s.removed++
	}
	for _, tag := range tags {
		d, err := repository.Tags(ctx).Get(ctx, tag)
		if err == nil && mine[d.Digest] {
			continue
		}
		if err := repository.Tags(ctx).Untag(ctx, tag); ignoreGone(err) != nil {
			return fmt.Errorf("remove tag %s of %s: %w", tag, name, err)
		}
	}
	return nil
}

// mark notes that a manifest and all below it are needed. One that cannot be
// read (a crash came while it was pushed) needs nothing.
func (s *sweep) mark(ctx context.Context, repository distribution.Repository, d digest.Digest, mine map[digest.Digest]bool) {
	if mine[d] || d == "" {
		return
	}
	m, err := s.readManifest(ctx, repository, d)
	if err != nil {
		return
	}
	mine[d], s.needed[d] = true, true
	for _, below := range m.References() {
		s.needed[below.Digest] = true
		if images.IsManifestType(below.MediaType) || images.IsIndexType(below.MediaType) {
			s.mark(ctx, repository, below.Digest, mine)
		}
	}
}

// blobs removes the blobs that no manifest needs, with the links to them.
func (s *sweep) blobs(ctx context.Context, repositories []string) error {
	var gone []digest.Digest
	err := s.content.Blobs().Enumerate(ctx, func(d digest.Digest) error {
		if !s.needed[d] && !used(s.blobFile(d)).After(s.unused) {
			gone = append(gone, d)
		}
		return nil
	})
	if err := ignoreGone(err); err != nil {
		return fmt.Errorf("list blobs: %w", err)
	}
	for _, d := range gone {
		// The links first: a link whose blob has gone could not be told from one
		// that is whole.
		for _, name := range repositories {
			if err := s.vacuum.RemoveLayer(name, d); ignoreGone(err) != nil {
				return fmt.Errorf("remove link of blob %s in %s: %w", d, name, err)
			}
		}
		if err := s.vacuum.RemoveBlob(d.String()); ignoreGone(err) != nil {
			return fmt.Errorf("remove blob %s: %w", d, err)
		}
		s.removed++
	}
	return nil
}

// rest removes abandoned uploads, the files that a crash left half written, and
// the directories that have nothing any more.
func (s *sweep) rest() error {
	var dirs []string
	err := filepath.WalkDir(s.root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && filepath.Base(filepath.Dir(path)) == "_uploads":
			if !used(filepath.Join(path, "data")).After(s.abandoned) && !used(path).After(s.abandoned) {
				if err := os.RemoveAll(path); err != nil {
					return err
				}
				return fs.SkipDir
			}
		case d.IsDir():
			dirs = append(dirs, path)
		case strings.HasSuffix(path, ".tmp") && !used(path).After(s.abandoned):
			return os.Remove(path)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove what was abandoned: %w", err)
	}
	// Those below first. A push may be making one right now, in which it has put
	// nothing yet; it makes those above when it does.
	for _, dir := range slices.Backward(dirs) {
		if !used(dir).After(s.abandoned) {
			_ = os.Remove(dir) // which fails unless it is empty
		}
	}
	return nil
}

// used is when a file was last used, long ago when there is none.
func used(file string) time.Time {
	info, err := os.Stat(file)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// ignoreGone drops the errors that say that nothing is there.
func ignoreGone(err error) error {
	var path driver.PathNotFoundError
	var repository distribution.ErrRepositoryUnknown
	var tag distribution.ErrTagUnknown
	if errors.As(err, &path) || errors.As(err, &repository) || errors.As(err, &tag) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
