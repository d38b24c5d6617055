package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/unpack"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"

	"github.com/opendaytona/daytona/internal/oci"
	"github.com/opendaytona/daytona/internal/space"
)

// PullOptions of one pull.
type PullOptions struct {
	Owner       string            // holds the image afterwards
	Credentials Credentials       // nil is none
	Progress    func(line string) // gets lines for people; nil is nobody
	Resolver    remotes.Resolver  // finds the image; nil is the registry of the reference
}

// A pull that fails for a reason that may pass is tried again.
const (
	attempts   = 3
	retryAfter = time.Second
)

// Pull brings an image here, unpacks it, and holds it for o.Owner. What a
// failed pull has fetched is kept for an hour, so that the next one resumes.
// Errors: *PullError.
func (s *Store) Pull(ctx context.Context, ref string, o PullOptions) (img *Image, err error) {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	err = s.persist(ctx, ref, o.Credentials, o.Progress, func(ctx context.Context) error {
		img, err = s.pullOnce(ctx, ref, o)
		return err
	})
	return img, err
}

// persist tries again what fails for a reason that may pass. Errors: *PullError.
func (s *Store) persist(ctx context.Context, ref string, c Credentials, progress func(string), once func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		err := once(s.in(ctx))
		if err == nil {
			return nil
		}
		kind := classify(err)
		if ctx.Err() != nil {
			kind = KindCanceled
		}
		if attempt == attempts || !kind.transient() {
			return newPullError(ctx, kind, ref, c, err)
		}
		s.Log.Warn("pull failed, trying again", "image", ref, "attempt", attempt, "err", err)
		progress(fmt.Sprintf("Attempt %d of %d failed, trying again: %v", attempt, attempts, unanswered(err)))
		select {
		case <-time.After(time.Duration(attempt) * retryAfter):
		case <-ctx.Done():
		}
	}
}

func (s *Store) resolve(ctx context.Context, ref string, resolver remotes.Resolver, c Credentials) (desc ocispec.Descriptor, fetcher func() (remotes.Fetcher, error), err error) {
	full, err := oci.Normalized(ref)
	if err != nil {
		return desc, nil, fmt.Errorf("%w: %w", errInvalid, err)
	}
	if resolver == nil {
		resolver = docker.NewResolver(docker.ResolverOptions{Hosts: s.Hosts(c)})
	}
	name, desc, err := resolver.Resolve(ctx, full)
	if err != nil {
		return desc, nil, fmt.Errorf("resolve: %w", err)
	}
	return desc, func() (remotes.Fetcher, error) { return resolver.Fetcher(ctx, name) }, nil
}

func (s *Store) pullOnce(ctx context.Context, ref string, o PullOptions) (*Image, error) {
	desc, open, err := s.resolve(ctx, ref, o.Resolver, o.Credentials)
	if err != nil {
		return nil, err
	}
	o.Progress("Resolved to " + desc.Digest.String())
	fetcher, err := open()
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	host := hostedHost
	if o.Resolver == nil {
		if host, err = hostOf(ref); err != nil {
			return nil, err
		}
	}
	under, end, err := s.beginPull(ctx, desc.Digest.String())
	if err != nil {
		return nil, err
	}
	img, err := s.share(under, fetcher, host, desc, o)
	// What a pull left that had no space is the first to go.
	low := errors.Is(err, space.ErrLow)
	err = errors.Join(err, end(err == nil || low))
	if low {
		err = errors.Join(err, s.Collect(context.WithoutCancel(ctx)))
	}
	if err != nil {
		return nil, err
	}
	return img, nil
}

// share fetches an image and lets the pull's owner hold it. Pulls of one thing
// from one registry share the work; any of them may leave.
func (s *Store) share(ctx context.Context, fetcher remotes.Fetcher, host string, desc ocispec.Descriptor, o PullOptions) (*Image, error) {
	for {
		work := s.flight.DoChan(host+"@"+desc.Digest.String(), func() (any, error) {
			// It may go on for a moment after those who wait for it have left.
			ctx, end, err := s.beginPull(ctx, desc.Digest.String())
			if err != nil {
				return nil, err
			}
			digest, err := s.fetchWithin(ctx, fetcher, host, desc, o.Progress)
			if err != nil && ctx.Err() != nil {
				err = errors.Join(ctx.Err(), err)
			}
			return digest, errors.Join(err, end(false))
		})
		select {
		case r := <-work:
			if r.Shared && errors.Is(r.Err, context.Canceled) && ctx.Err() == nil {
				continue // the other one left, with the work
			}
			if r.Err != nil {
				return nil, r.Err
			}
			img, err := s.Image(ctx, r.Val.(string))
			if err != nil {
				return nil, err
			}
			if err := img.checkUser(); err != nil {
				return nil, err
			}
			return img, s.Hold(ctx, o.Owner, img.Digest)
		case <-ctx.Done():
			s.left.Go(func() { <-work })
			return nil, ctx.Err()
		}
	}
}

// fetchWithin fetches as long as there is space. Errors: space.ErrLow.
func (s *Store) fetchWithin(ctx context.Context, fetcher remotes.Fetcher, host string, desc ocispec.Descriptor, progress func(string)) (string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { space.Watch(ctx, s.Dir, s.Log, cancel) })
	digest, err := s.fetch(ctx, fetcher, host, desc, progress)
	cancel(nil)
	watch.Wait()
	if low := context.Cause(ctx); err != nil && errors.Is(low, space.ErrLow) {
		return "", low
	}
	return digest, err
}

// fetch downloads and unpacks what desc points to, for this platform, and
// returns the digest of its manifest.
func (s *Store) fetch(ctx context.Context, fetcher remotes.Fetcher, host string, desc ocispec.Descriptor, progress func(string)) (string, error) {
	platform := thisMachine()
	store := s.content()
	children := images.SetChildrenMappedLabels(store, images.ChildrenHandler(store), images.ChildGCLabels)
	children = images.LimitManifests(images.FilterPlatforms(children, platform), platform, 1)
	var fetches awaited
	told := fetches.handler(func(_ context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		if images.IsLayerType(d.MediaType) {
			progress(fmt.Sprintf("Fetching layer %s (%.1f MiB)", d.Digest, float64(d.Size)/(1<<20)))
		}
		return nil, nil
	})
	unpacker, err := unpack.NewUnpacker(ctx, store,
		s.unpackOption(platform),
		unpack.WithLimiter(semaphore.NewWeighted(int64(s.Parallel))),
		unpack.WithUnpackLimiter(semaphore.NewWeighted(int64(s.Parallel))))
	if err != nil {
		return "", fmt.Errorf("unpack: %w", err)
	}
	get := s.fetchFrom(s.fetchAnew(remotes.FetchHandler(store, fetcher)), host)
	fetch := fetches.handler(s.proven(get, get, fetcher, host))
	handler := images.Handlers(told, fetch, s.layersProven(fetch), children)
	err = images.Dispatch(ctx, unpacker.Unpack(handler), nil, desc)
	if _, unpackErr := unpacker.Wait(); err == nil {
		err = unpackErr
	}
	fetches.end()
	if err != nil {
		return "", s.orPlatform(ctx, desc, platform, err)
	}
	return s.manifest(ctx, desc, platform)
}

// orPlatform is ErrPlatform in place of an error that is because of it: of an
// index without a manifest for the platform, none is found.
func (s *Store) orPlatform(ctx context.Context, desc ocispec.Descriptor, platform platforms.MatchComparer, err error) error {
	if errors.Is(err, errdefs.ErrNotFound) && images.IsIndexType(desc.MediaType) {
		if _, platformErr := s.manifest(ctx, desc, platform); errors.Is(platformErr, ErrPlatform) {
			return platformErr
		}
	}
	return err
}

// awaited is a handler whose end can be waited for: an unpacker that fails leaves
// its fetches running, with the files that they write.
type awaited struct {
	running sync.RWMutex
	ended   bool
}

func (a *awaited) handler(h images.HandlerFunc) images.HandlerFunc {
	return func(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		a.running.RLock()
		defer a.running.RUnlock()
		if a.ended {
			return nil, context.Canceled
		}
		return h(ctx, d)
	}
}

// end returns when none runs; none begins any more.
func (a *awaited) end() {
	a.running.Lock()
	defer a.running.Unlock()
	a.ended = true
}

// unpackOption unpacks layers for the platform into the snapshotter.
func (s *Store) unpackOption(platform platforms.MatchComparer) unpack.UnpackerOpt {
	return unpack.WithUnpackPlatform(unpack.Platform{
		Platform: platform, SnapshotterKey: snapshotter, Snapshotter: s.meta.Snapshotter(snapshotter),
		SnapshotterCapabilities: []string{snapshots.RebaseCap}, Applier: applier{provider: s.content(), take: Limited(s.MaxSize, s.MaxFiles)},
	})
}

// fetchAnew forgets what was fetched of a blob when it cannot be gone on with:
// its bytes are wrong, or the registry does not resume. The next attempt begins
// at its first byte.
func (s *Store) fetchAnew(fetch images.HandlerFunc) images.HandlerFunc {
	return func(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		children, err := fetch(ctx, d)
		var status remoteerrors.ErrUnexpectedStatus
		unresumable := errors.As(err, &status) && status.StatusCode == http.StatusRequestedRangeNotSatisfiable
		if errdefs.IsFailedPrecondition(err) || unresumable {
			if abortErr := s.content().Abort(ctx, remotes.MakeRefKey(ctx, d)); abortErr != nil && !errdefs.IsNotFound(abortErr) {
				err = errors.Join(err, abortErr)
			}
		}
		return children, err
	}
}

// manifest is the digest of the manifest for the platform, which must be in the
// store.
func (s *Store) manifest(ctx context.Context, desc ocispec.Descriptor, platform platforms.MatchComparer) (string, error) {
	if images.IsIndexType(desc.MediaType) {
		var index ocispec.Index
		if err := s.readJSON(ctx, desc, &index); err != nil {
			return "", err
		}
		fits := slices.DeleteFunc(index.Manifests, func(d ocispec.Descriptor) bool {
			return d.Platform == nil || !platform.Match(*d.Platform)
		})
		if len(fits) == 0 {
			return "", fmt.Errorf("%w (%s)", ErrPlatform, platforms.DefaultString())
		}
		sort.SliceStable(fits, func(i, j int) bool { return platform.Less(*fits[i].Platform, *fits[j].Platform) })
		return fits[0].Digest.String(), nil
	}
	if !images.IsManifestType(desc.MediaType) {
		return "", fmt.Errorf("%w: it is of type %s", errInvalid, desc.MediaType)
	}
	var manifest ocispec.Manifest
	if err := s.readJSON(ctx, desc, &manifest); err != nil {
		return "", err
	}
	var config ocispec.Image
	if err := s.readJSON(ctx, manifest.Config, &config); err != nil {
		return "", err
	}
	if !platform.Match(platforms.Normalize(config.Platform)) {
		return "", fmt.Errorf("%w: it is for %s, this machine is %s", ErrPlatform, platforms.Format(config.Platform), platforms.DefaultString())
	}
	return desc.Digest.String(), nil
}

// openTransport is the way to registries unless another is given.
func (s *Store) openTransport() *http.Transport {
	if s.Transport != nil {
		return s.Transport
	}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: s.Stall,
		MaxIdleConnsPerHost:   s.Parallel,
		IdleConnTimeout:       30 * time.Second,
	}
}

// stallGuard ends a response whose body stops coming, so that no pull hangs for
// ever.
type stallGuard struct {
	http.RoundTripper
	limit time.Duration
}

// RoundTrip implements http.RoundTripper.
func (g stallGuard) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	res, err := g.RoundTripper.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	timer := time.AfterFunc(g.limit, func() { cancel(errStalled) })
	res.Body = &guardedBody{ReadCloser: res.Body, ctx: ctx, cancel: cancel, timer: timer, limit: g.limit}
	return res, nil
}

type guardedBody struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
}

func (b *guardedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && errors.Is(context.Cause(b.ctx), errStalled) {
		err = fmt.Errorf("%w for %s", errStalled, b.limit)
	}
	b.timer.Reset(b.limit)
	return n, err
}

func (b *guardedBody) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.ReadCloser.Close()
}

func configOf(c ocispec.ImageConfig) Config {
	out := Config{Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd, User: c.User, WorkDir: c.WorkingDir, StopSignal: c.StopSignal}
	for v := range c.Volumes {
		out.Volumes = append(out.Volumes, v)
	}
	sort.Strings(out.Volumes)
	return out
}
