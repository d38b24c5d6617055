package build

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/pkg/gc"
	"github.com/containerd/containerd/v2/plugins/diff/walking"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/cache/metadata"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	containerdsnapshot "github.com/moby/buildkit/snapshot/containerd"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/source"
	httpsource "github.com/moby/buildkit/source/http"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/moby/buildkit/util/leaseutil"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/space"
)

// cache is a BuildKit with a cache of its own: of steps, of downloads, and of
// cache mounts. Each scope has one, so that no organization's build reads what
// another's has written, nor learns from its speed what others have built. The
// layers and blobs themselves are in the image store, once for all.
type cache struct {
	builder    *Builder
	dir        string
	disks      *disks
	presence   presence
	controller *control.Controller
	listener   *bufconn.Listener
	server     *grpc.Server
	client     *client.Client
	served     chan struct{}
	index      *metadata.Store

	users int       // builds that run; guarded by caches.mu
	idle  time.Time // since when there is none
}

// caches are those that are open, by scope.
type caches struct {
	mu   sync.Mutex
	open map[string]*cache
}

// maxIdle is how many caches stay open that nobody builds with.
const maxIdle = 4

// cacheDir is where a scope's cache is kept; the server's own, "", is in the
// builder's directory itself.
func (b *Builder) cacheDir(scope string) (string, error) {
	if scope == "" {
		return b.Dir, nil
	}
	if !filepath.IsLocal(scope) || filepath.Base(scope) != scope || scope == "." {
		return "", fmt.Errorf("cache of builds: %q is no file name", scope)
	}
	return filepath.Join(b.Dir, scopesDir, scope), nil
}

// scopesDir holds a directory for each scope.
const scopesDir = "organizations"

// scopes are those that have a cache on disk.
func (b *Builder) scopes() ([]string, error) {
	all := []string{""}
	entries, err := os.ReadDir(filepath.Join(b.Dir, scopesDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() {
			all = append(all, e.Name())
		}
	}
	return all, nil
}

// use opens a scope's cache unless it is open; leave must be called.
func (b *Builder) use(ctx context.Context, scope string) (c *cache, leave func(), err error) {
	b.caches.mu.Lock()
	defer b.caches.mu.Unlock()
	c = b.caches.open[scope]
	if c == nil {
		dir, err := b.cacheDir(scope)
		if err != nil {
			return nil, nil, err
		}
		// It lives longer than the build that opens it.
		if c, err = b.openCache(context.WithoutCancel(ctx), scope, dir); err != nil {
			return nil, nil, fmt.Errorf("open the cache of builds %s: %w", dir, err)
		}
		b.caches.open[scope] = c
	}
	c.users++
	number := c.disks.begin()
	return c, func() {
		err := c.disks.end(context.Background(), number)
		if err := errors.Join(err, b.caches.leave(c)); err != nil {
			b.Log.Error("close a cache of builds", "err", err)
		}
	}, nil
}

// leave closes the cache that nobody has used for longest, when many are idle.
func (cs *caches) leave(c *cache) error {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c.users--; c.users > 0 {
		return nil
	}
	c.idle = time.Now()
	idle, oldest := 0, ""
	for scope, c := range cs.open {
		if c.users > 0 {
			continue
		}
		if idle++; idle == 1 || c.idle.Before(cs.open[oldest].idle) {
			oldest = scope
		}
	}
	if idle <= maxIdle {
		return nil
	}
	old := cs.open[oldest]
	delete(cs.open, oldest)
	return old.close()
}

func (cs *caches) close() error {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	var errs []error
	for scope, c := range cs.open {
		errs = append(errs, c.close())
		delete(cs.open, scope)
	}
	return errors.Join(errs...)
}

func (b *Builder) openCache(ctx context.Context, scope, dir string) (_ *cache, err error) {
	c := &cache{builder: b, dir: dir, served: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return c, err
	}
	if c.disks, err = b.openDisks(ctx, scope); err != nil {
		return c, err
	}
	if err := c.openController(ctx); err != nil {
		return c, err
	}
	c.listener = bufconn.Listen(1 << 20)
	c.server = grpc.NewServer(
		grpc.UnaryInterceptor(grpcerrors.UnaryServerInterceptor), grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
	)
	c.controller.Register(c.server)
	go func() {
		defer close(c.served)
		if err := c.server.Serve(c.listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			b.Log.Error("builder", "err", err)
		}
	}()
	c.client, err = client.New(ctx, "passthrough:///builder", client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return c.listener.DialContext(ctx)
	}))
	return c, err
}

// maxMessage is what a Dockerfile's definition may take between client and
// solver, both in this process.
const maxMessage = 64 << 20

func (c *cache) openController(ctx context.Context) error {
	b := c.builder
	index, err := metadata.NewStore(filepath.Join(c.dir, "cache.db"))
	if err != nil {
		return err
	}
	c.index = index
	content := containerdsnapshot.NewContentStore(b.shared.Content, image.Namespace)
	leases := leaseutil.WithNamespace(b.shared.Leases, image.Namespace)
	w, err := base.NewWorker(ctx, base.WorkerOpt{
		ID:            "local",
		Root:          c.dir,
		Platforms:     []ocispec.Platform{platforms.Normalize(platforms.DefaultSpec())},
		GCPolicy:      []client.PruneInfo{{All: true, MaxUsedSpace: b.CacheSize, MinFreeSpace: 2 * space.Reserve}},
		Executor:      &executor{steps: b.Steps, resources: b.Resources, disks: c.disks, presence: &c.presence, layers: filepath.Join(b.Images.LayersDir(), "snapshots")},
		Snapshotter:   containerdsnapshot.NewSnapshotter(b.shared.SnapshotterName, snapshotter{b.shared.Snapshotter, c.disks}, image.Namespace, nil),
		ContentStore:  content,
		Applier:       b.shared.Applier(content, c.disks.take),
		Differ:        walking.NewWalkingDiff(content),
		ImageStore:    namespaced{b.shared.Images},
		RegistryHosts: b.hosts,
		LeaseManager:  leases,
		// The image store's own collector frees what no lease and no cache
		// record holds, for both.
		GarbageCollect: b.collect,
		MetadataStore:  index,
		MountPoolRoot:  filepath.Join(c.dir, "mounts"),
	})
	if err != nil {
		return err
	}
	if w.HTTPSource, err = httpsource.NewSource(httpsource.Opt{CacheAccessor: w.CacheMgr, Transport: awaiting{fetchTransport(b.Steps.CheckReach), func() func() { return impatient(c.presence.leaveAll) }}}); err != nil {
		return err
	}
	w.GitSource = nil
	for _, s := range []source.Source{w.HTTPSource, noGit{}} {
		w.SourceManager.Register(s)
	}
	workers := &worker.Controller{}
	if err := workers.Add(w); err != nil {
		return err
	}
	links, err := bboltcachestorage.NewStore(filepath.Join(c.dir, "links.db"))
	if err != nil {
		return err
	}
	history, err := boltutil.Open(filepath.Join(c.dir, "history.db"), 0o600, &bolt.Options{Timeout: 10 * time.Second})
	if err != nil {
		return errors.Join(err, links.Close())
	}
	sessions, err := session.NewManager()
	if err != nil {
		return err
	}
	c.controller, err = control.NewController(control.Opt{
		SessionManager:   sessions,
		WorkerController: workers,
		Frontends:        map[string]frontend.Frontend{frontendName: forwarder.NewGatewayForwarder(workers.Infos(), b.frontend)},
		CacheManager:     solver.NewCacheManager(ctx, "local", links, worker.NewCacheResultStorage(workers)),
		HistoryDB:        history,
		CacheStore:       links,
		LeaseManager:     leases,
		ContentStore:     content,
		GarbageCollect: func(ctx context.Context) error {
			_, err := b.collect(ctx)
			return err
		},
	})
	return err
}

// collect frees what nobody holds, and the disks of it.
func (b *Builder) collect(ctx context.Context) (gc.Stats, error) {
	stats, err := b.shared.Collect(ctx)
	return stats, errors.Join(err, b.sweep(ctx))
}

func (c *cache) close() error {
	var errs []error
	if c.client != nil {
		errs = append(errs, c.client.Close())
	}
	if c.server != nil {
		c.server.Stop()
		<-c.served
	}
	if c.controller != nil {
		errs = append(errs, c.controller.Close())
	}
	if c.index != nil {
		errs = append(errs, c.index.Close())
	}
	return errors.Join(errs...)
}
