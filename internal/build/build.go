package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/tonistiigi/fsutil"
	"golang.org/x/sync/errgroup"

	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/space"
)

// Request is one build.
type Request struct {
	ID         string // of the build, a file name
	Owner      string // holds the image afterwards
	Scope      string // builds of one scope share a cache; a file name, "" is the server's own
	Dockerfile string // its text
	// Fill puts the files that the Dockerfile may copy into dir; nil is none.
	Fill        func(ctx context.Context, dir string) error
	Credentials image.Credentials // of the registries of FROM and COPY --from; nil is none
	Log         io.Writer
	// Place is held when the build begins; it is left while the build only waits
	// for a registry. nil is none.
	Place Place
}

// imagePrefix names the images of builds that have just ended.
const imagePrefix = "daytona.internal/build/"

// Build builds the image, unpacks it and lets r.Owner hold it. It ends within
// seconds of ctx. Errors: *Error.
func (b *Builder) Build(ctx context.Context, r Request) (_ *image.Image, err error) {
	whole := ctx
	ctx, stop := context.WithTimeoutCause(ctx, b.Timeout, errTimeout)
	defer stop()
	if b.low() {
		if err := b.makeSpace(ctx); err != nil {
			return nil, newError(err, nil)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { space.Watch(ctx, b.Dir, b.Log, cancel) })
	defer func() {
		cancel(nil)
		watch.Wait()
		switch {
		case errors.Is(err, space.ErrLow), ranOutOfDisk(err):
			err = errors.Join(err, b.clear(context.WithoutCancel(whole), r.Scope))
			if errors.Is(err, space.ErrLow) && b.low() { // what others have cached goes only when this was not enough
				err = errors.Join(err, b.makeSpace(whole))
			}
		case err != nil:
			err = errors.Join(err, b.Images.Collect(whole), b.sweep(whole))
		}
	}()
	pulls := b.begin(r)
	defer b.end(pulls)
	img, err := b.build(ctx, r, pulls)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, newError(err, pulls.failure(err))
	}
	return img, nil
}

func (b *Builder) build(ctx context.Context, r Request, pulls *pulls) (_ *image.Image, err error) {
	cache, leave, err := b.use(ctx, r.Scope)
	if err != nil {
		return nil, err
	}
	defer leave()
	if r.Place != nil {
		pulls.place, pulls.presence = r.Place, &cache.presence
		cache.presence.join(r.Place)
		defer cache.presence.part(r.Place)
	}
	defer func() { err = cache.disks.explain(err) }()
	files, free, err := cache.disks.contextDisk(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	text := filepath.Join(b.workDir(), r.ID)
	defer func() { err = errors.Join(err, os.RemoveAll(text), free()) }()
	if err := os.MkdirAll(text, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(text, "Dockerfile"), []byte(r.Dockerfile), 0o600); err != nil {
		return nil, err
	}
	if r.Fill != nil {
		if err := r.Fill(ctx, files); err != nil {
			return nil, err
		}
	}
	digest, err := b.solve(ctx, r, cache, pulls, files, text)
	if err != nil {
		return nil, err
	}
	img, err := b.Images.Adopt(ctx, r.Owner, digest)
	if err != nil {
		return nil, err
	}
	return img, b.forget(ctx, imagePrefix+r.ID)
}

func (b *Builder) solve(ctx context.Context, r Request, cache *cache, pulls *pulls, files, text string) (digest string, err error) {
	mounts := map[string]fsutil.FS{}
	for name, dir := range map[string]string{"context": files, "dockerfile": text} {
		if mounts[name], err = fsutil.NewFS(dir); err != nil {
			return "", err
		}
	}
	display, err := progressui.NewDisplay(r.Log, progressui.PlainMode)
	if err != nil {
		return "", err
	}
	status := make(chan *client.SolveStatus)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		// To the end of the stream, or the solver would wait for its reader.
		_, err := display.UpdateFrom(context.WithoutCancel(ctx), status)
		return err
	})
	var res *client.SolveResponse
	group.Go(func() (err error) {
		res, err = cache.client.Solve(ctx, nil, client.SolveOpt{
			Frontend: frontendName,
			// An empty command line keeps a "# syntax=" line from fetching
			// another frontend: this one is the whole Dockerfile language.
			FrontendAttrs: map[string]string{
				"filename": "Dockerfile", "cmdline": "", buildAttribute: r.ID,
				// BuildKit shares the cache mounts of builds that run by their names,
				// over all of its instances in a process.
				"build-arg:BUILDKIT_CACHE_MOUNT_NS": "scope-" + r.Scope,
			},
			LocalMounts: mounts,
			// Of its own: BuildKit lays the files of builds with one key over
			// each other and takes a file as unchanged by its size and times.
			SharedKey: r.ID,
			Session:   []session.Attachable{ticket(pulls.ticket)},
			Exports: []client.ExportEntry{{Type: client.ExporterImage, Attrs: map[string]string{
				"name": imagePrefix + r.ID, "unpack": "true", "oci-mediatypes": "true", "compression": "zstd",
			}}},
		}, status)
		return err
	})
	if err := group.Wait(); err != nil {
		return "", err
	}
	return res.ExporterResponse["containerimage.digest"], nil
}

// forget removes a name of the image store; who holds the image keeps it.
func (b *Builder) forget(ctx context.Context, name string) error {
	err := namespaced{b.shared.Images}.Delete(ctx, name)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("forget %s: %w", name, err)
	}
	return nil
}

// clean removes what builds of a killed server have left.
func (b *Builder) clean(ctx context.Context) error {
	disks, err := b.Disks.Mounts()
	if err != nil {
		return err
	}
	if err := unmountLeft(b.Images.LayersDir(), disks); err != nil {
		return err
	}
	if err := b.sweep(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(b.workDir()); err != nil {
		return err
	}
	left, err := namespaced{b.shared.Images}.List(ctx)
	if err != nil {
		return err
	}
	for _, img := range left {
		if err := b.forget(ctx, img.Name); err != nil {
			return err
		}
	}
	return nil
}

// namespaced is an image store that names the namespace itself.
type namespaced struct{ images.Store }

func in(ctx context.Context) context.Context { return namespaces.WithNamespace(ctx, image.Namespace) }

// Get implements images.Store.
func (n namespaced) Get(ctx context.Context, name string) (images.Image, error) {
	return n.Store.Get(in(ctx), name)
}

// List implements images.Store.
func (n namespaced) List(ctx context.Context, filters ...string) ([]images.Image, error) {
	return n.Store.List(in(ctx), filters...)
}

// Create implements images.Store.
func (n namespaced) Create(ctx context.Context, img images.Image) (images.Image, error) {
	return n.Store.Create(in(ctx), img)
}

// Update implements images.Store.
func (n namespaced) Update(ctx context.Context, img images.Image, fields ...string) (images.Image, error) {
	return n.Store.Update(in(ctx), img, fields...)
}

// Delete implements images.Store.
func (n namespaced) Delete(ctx context.Context, name string, opts ...images.DeleteOpt) error {
	return n.Store.Delete(in(ctx), name, opts...)
}

// errTimeout ends a build that takes too long.
var errTimeout = errors.New("it took longer than a build may (build-timeout)")
