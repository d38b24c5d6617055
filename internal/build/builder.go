// Package build makes images of Dockerfiles: BuildKit as a library, over the
// image store that pulls and sandboxes use, its steps run by engine/local. It
// imports those two and no domain package; package snapshot asks it to build
// through a small interface, and package server wires them. Look next at
// build.go (one build), then executor.go (one step of it).
package build

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

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
	"github.com/moby/buildkit/util/resolver"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local"
	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/space"
)

// Options of Open.
type Options struct {
	Dir       string // holds the cache's index and the contexts of builds that run
	Images    *image.Store
	Steps     Steps
	Resources engine.Resources // of one step; Disk is what it may write
	CacheSize int64            // bytes that the cache may take; what snapshots hold does not count
	Timeout   time.Duration    // of one build
	Log       *slog.Logger
}

// Steps runs the steps of builds; *local.Local does.
type Steps interface {
	RunStep(ctx context.Context, step local.Step) (exitCode int, err error)
	// CheckReach fails for an address that no step may reach.
	CheckReach(to netip.Addr) error
}

// Builder builds images. Its methods may run at once.
type Builder struct {
	Options
	shared     image.Shared
	controller *control.Controller
	listener   *bufconn.Listener
	server     *grpc.Server
	client     *client.Client
	served     chan struct{}
	index      *metadata.Store // of the cache
	registries registries
}

// Open opens the builder in o.Dir and frees what a killed server left there.
func Open(ctx context.Context, o Options) (_ *Builder, err error) {
	b := &Builder{Options: o, shared: o.Images.Share(), served: make(chan struct{})}
	b.registries.byBuild, b.registries.byTicket = make(map[string]*pulls), make(map[string]*pulls)
	resolver.DefaultPool.Clear() // it remembers the ways of an earlier builder
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open builder %s: %w", o.Dir, err), b.Close())
		}
	}()
	if err := b.clean(ctx); err != nil {
		return b, err
	}
	if err := os.MkdirAll(b.workDir(), 0o700); err != nil {
		return b, err
	}
	if err := b.openController(ctx); err != nil {
		return b, err
	}
	b.listener = bufconn.Listen(1 << 20)
	b.server = grpc.NewServer(
		grpc.UnaryInterceptor(grpcerrors.UnaryServerInterceptor), grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
	)
	b.controller.Register(b.server)
	go func() {
		defer close(b.served)
		if err := b.server.Serve(b.listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			o.Log.Error("builder", "err", err)
		}
	}()
	b.client, err = client.New(ctx, "passthrough:///builder", client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return b.listener.DialContext(ctx)
	}))
	return b, err
}

// maxMessage is what a Dockerfile's definition may take between client and
// solver, both in this process.
const maxMessage = 64 << 20

func (b *Builder) workDir() string { return filepath.Join(b.Dir, "running") }

func (b *Builder) openController(ctx context.Context) error {
	index, err := metadata.NewStore(filepath.Join(b.Dir, "cache.db"))
	if err != nil {
		return err
	}
	b.index = index
	keep := b.Resources
	content := containerdsnapshot.NewContentStore(b.shared.Content, image.Namespace)
	leases := leaseutil.WithNamespace(b.shared.Leases, image.Namespace)
	w, err := base.NewWorker(ctx, base.WorkerOpt{
		ID:            "local",
		Root:          b.Dir,
		Platforms:     []ocispec.Platform{platforms.Normalize(platforms.DefaultSpec())},
		GCPolicy:      []client.PruneInfo{{All: true, MaxUsedSpace: b.CacheSize, MinFreeSpace: 2 * space.Reserve}},
		Executor:      &executor{steps: b.Steps, resources: keep},
		Snapshotter:   containerdsnapshot.NewSnapshotter(b.shared.SnapshotterName, b.shared.Snapshotter, image.Namespace, nil),
		ContentStore:  content,
		Applier:       b.shared.Applier(content),
		Differ:        walking.NewWalkingDiff(content),
		ImageStore:    namespaced{b.shared.Images},
		RegistryHosts: b.hosts,
		LeaseManager:  leases,
		// The image store's own collector frees what no lease and no cache
		// record holds, for both.
		GarbageCollect: b.shared.Collect,
		MetadataStore:  index,
		MountPoolRoot:  filepath.Join(b.Dir, "mounts"),
	})
	if err != nil {
		return err
	}
	if w.HTTPSource, err = httpsource.NewSource(httpsource.Opt{CacheAccessor: w.CacheMgr, Transport: fetchTransport(b.Steps.CheckReach)}); err != nil {
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
	links, err := bboltcachestorage.NewStore(filepath.Join(b.Dir, "links.db"))
	if err != nil {
		return err
	}
	history, err := boltutil.Open(filepath.Join(b.Dir, "history.db"), 0o600, &bolt.Options{Timeout: 10 * time.Second})
	if err != nil {
		return errors.Join(err, links.Close())
	}
	sessions, err := session.NewManager()
	if err != nil {
		return err
	}
	b.controller, err = control.NewController(control.Opt{
		SessionManager:   sessions,
		WorkerController: workers,
		Frontends:        map[string]frontend.Frontend{frontendName: forwarder.NewGatewayForwarder(workers.Infos(), b.frontend)},
		CacheManager:     solver.NewCacheManager(ctx, "local", links, worker.NewCacheResultStorage(workers)),
		HistoryDB:        history,
		CacheStore:       links,
		LeaseManager:     leases,
		ContentStore:     content,
		GarbageCollect: func(ctx context.Context) error {
			_, err := b.shared.Collect(ctx)
			return err
		},
	})
	return err
}

const frontendName = "dockerfile.v0"

// Close ends the builds that run and closes the cache.
func (b *Builder) Close() error {
	var errs []error
	if b.client != nil {
		errs = append(errs, b.client.Close())
	}
	if b.server != nil {
		b.server.Stop()
		<-b.served
	}
	if b.controller != nil {
		errs = append(errs, b.controller.Close())
	}
	if b.index != nil {
		errs = append(errs, b.index.Close())
	}
	return errors.Join(errs...)
}
