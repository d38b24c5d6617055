// Package server puts the parts together: it reads the configuration, opens the
// store, the images and the engine, makes the services, serves them over HTTP,
// and ends all of it in order. It is the only package that knows everybody, and
// decides nothing that a domain package could. Command is `daytona server`;
// look next at open (what is opened, and who ends it) and run.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opendaytona/daytona/internal/config"
	"github.com/opendaytona/daytona/internal/httpserver"
	"github.com/opendaytona/daytona/internal/metrics"
	"github.com/opendaytona/daytona/internal/pki"

	"k8s.io/utils/clock"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/build"
	"github.com/opendaytona/daytona/internal/buildlog"
	"github.com/opendaytona/daytona/internal/durable"
	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/events"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/gateway"
	"github.com/opendaytona/daytona/internal/httpapi"
	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/image/hosted"
	"github.com/opendaytona/daytona/internal/objectstore"
	"github.com/opendaytona/daytona/internal/preview"
	"github.com/opendaytona/daytona/internal/quarantine"
	"github.com/opendaytona/daytona/internal/region"
	"github.com/opendaytona/daytona/internal/registry"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
	"github.com/opendaytona/daytona/internal/space"
	"github.com/opendaytona/daytona/internal/store"
)

// server is all the parts, open and wired.
type server struct {
	config.Config
	version string
	log     *slog.Logger
	clock   clock.WithTicker
	machine machine

	transport  http.RoundTripper // to registries
	db         *store.Store
	images     *image.Store
	base       *base
	made       *made
	engine     engine.Host
	unfit      error // why no sandbox can be started on this machine
	builder    *build.Builder
	contexts   objectstore.Contexts
	uploads    http.Handler // of the embedded ones; nil where they are elsewhere
	hosted     *hosted.Registry
	accounts   *account.Service
	snapshots  *snapshot.Service
	sandboxes  *sandbox.Service
	previews   *preview.Service
	hub        *events.Hub
	metrics    *metrics.Metrics
	doors      *doors
	regions    *region.Service
	registries *registry.Service
	quarantine *quarantine.Keeper
	ballast    *space.Ballast

	defaultsMoved chan struct{} // has one when a default snapshot has moved

	http      *httpserver.Server
	handler   swapped // what http serves
	openParts []part  // in the order they were opened
}

// part is something open that close must end.
type part struct {
	name  string
	close func() error
}

func (s *server) opened(name string, closer func() error) {
	s.openParts = append(s.openParts, part{name, closer})
}

// How much is done at once, and how long things may take.
const (
	snapshotsAtOnce = 8
	sandboxesAtOnce = 64
	stopGrace       = 10 * time.Second
	flushPeriod     = 10 * time.Second
)

// newServer opens everything. When that fails, what was opened is closed again.
func newServer(ctx context.Context, c config.Config, version string, m machine, log *slog.Logger) (*server, error) {
	s := &server{Config: c, version: version, log: log, clock: clock.RealClock{}, machine: m}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *server) open(ctx context.Context) error {
	// Others may pass through: the ids of sandboxes are not root's.
	if err := durable.MkdirAll(s.DataDir, 0o711); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	dir, err := config.ClaimDataDir(s.DataDir)
	if err != nil {
		return err
	}
	s.opened("data directory", dir.Close)
	s.DataDir = dir.Path
	s.openBallast()

	ca, err := pki.OpenAuthority(s.Below(config.TLSName))
	if err != nil {
		return err
	}
	s.metrics = metrics.New(s.version, s.clock)
	s.http, err = httpserver.Listen(httpserver.Options{
		Address: s.Listen, MaxConnections: s.MaxConnections, MaxConnectionsPerAddress: s.MaxConnectionsPerAddress,
		Certificate: ca.Certificate, Handler: &s.handler, Observe: s.metrics.Requested, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.opened("listener", s.http.Close)

	if err := s.refuseLoss(); err != nil {
		return err
	}
	if s.Database == "" {
		if err := config.CreateDatabaseFile(s.DatabasePath()); err != nil {
			return err
		}
	}
	if s.db, err = store.Open(ctx, s.DatabasePath(), s.log); err != nil {
		return err
	}
	s.opened("database", s.db.Close)
	s.db.OnFull(s.ballast.Drop)
	s.db.MayGrow = s.roomFor
	regressed, err := s.regressed(ctx)
	if err != nil {
		return err
	}
	logs, err := buildlog.New(s.Below(config.LogsName))
	if err != nil {
		return err
	}
	logs.Edit = s.hostPaths().Hide
	trusted, err := pki.ExtraCA(s.ExtraCA)
	if err != nil {
		return err
	}
	if err := s.openImages(ctx, trusted); err != nil {
		return err
	}
	options := engineOptions(s.Config, s.version)
	options.Images, options.ExtraCA, options.Log, options.OutOfMemory = s.images, trusted, s.log, s.metrics.OutOfMemory
	if s.engine, err = s.machine.openEngine(ctx, options); err != nil {
		return err
	}
	s.opened("engine", s.engine.Close)
	if err := s.tryMachine(ctx); err != nil {
		return err
	}
	if err := s.openContexts(ctx); err != nil {
		return err
	}
	if err := s.openHosted(); err != nil {
		return err
	}
	if err := s.openBuilder(ctx); err != nil {
		return err
	}

	if err := s.openRegistries(ctx); err != nil {
		return err
	}
	if err := s.makeServices(ctx, logs); err != nil {
		return err
	}
	if err := s.openQuarantine(ctx, regressed); err != nil {
		return err
	}
	if err := s.openPreviews(); err != nil {
		return err
	}
	if err := s.bootstrap(ctx); err != nil {
		return err
	}
	if err := s.remember(ctx); err != nil {
		return err
	}
	if err := s.quarantine.Begun(); err != nil {
		return err
	}
	if err := s.recordDefaults(ctx); err != nil {
		return err
	}
	if err := s.sandboxes.Resume(ctx); err != nil {
		return err
	}
	s.makeHTTP(logs)
	return nil
}

func (s *server) openImages(ctx context.Context, trusted []byte) (err error) {
	transport, err := pki.Transport(trusted)
	if err != nil {
		return err
	}
	s.transport = transport
	s.opened("connections to registries", func() error { transport.CloseIdleConnections(); return nil })
	if s.base, err = openBase(s.machine.base, s.Below(config.BaseImageName), s.log); err != nil {
		return err
	}
	s.opened("base image", s.base.Close)
	s.made = newMade(s.machine.recipe, s.base, func() *build.Builder { return s.builder }, s.chooseBase)
	mirrors := map[string][]image.Mirror{s.base.host(): {s.base.mirror()}}
	for host, m := range s.Mirrors {
		mirrors[host] = append(mirrors[host], m...)
	}
	s.images, err = image.Open(ctx, image.Options{
		Dir: s.Below(config.ImagesName), Mirrors: mirrors, PlainHTTP: s.PlainHTTP, Transport: transport, Log: s.log, CheckReach: s.checkReach,
		MaxSize: int64(s.ImageDisk) * config.GiB, MaxFiles: int64(s.ImageFiles),
	})
	if err != nil {
		return err
	}
	s.opened("image store", s.images.Close)
	return nil
}

// makeServices makes the domain and what listens to it.
func (s *server) makeServices(ctx context.Context, logs *buildlog.Logs) error {
	s.accounts = account.NewService(account.Config{
		Store: s.db, Clock: s.clock,
		DefaultRegion: s.Region, Quota: s.Quota, DeactivateAfter: s.DeactivateAfter,
	})
	s.hub = events.New(events.Config{
		Authenticate: func(ctx context.Context, token, organizationID string) (events.Audience, error) {
			p, err := s.accounts.Authenticate(ctx, token, organizationID)
			return events.Audience{Organization: p.OrganizationID, Whole: p.Can(api.ReadEnv)}, err
		},
		Log: s.log,
	})
	s.opened("events", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), httpserver.CutOffTimeout)
		defer cancel()
		return s.hub.Close(ctx)
	})
	s.metrics.Watch(s.db.SandboxStates, s.db.SnapshotStates, s.hub.Connections)
	s.doors = newDoors(s.accounts)
	domain := &feed{publish: s.hub.Publish, metrics: s.metrics, doors: s.doors, forget: s.forgetPushed}
	if s.PublicURL != "" {
		domain.toolbox = s.toolboxURL(s.PublicURL)
	}
	regions := &region.Service{OrganizationDefault: s.accounts.OrganizationRegion, Regions: []region.Region{{ID: s.Region, Name: s.Region, CreatedAt: s.since(ctx)}}}
	s.snapshots = snapshot.NewService(snapshot.Config{
		Store: s.db, Images: images{s.images, s.base, s.made, s.hosted, s.registries}, Regions: regions, Limits: s.accounts, Events: domain, Logs: logs,
		Clock: s.clock, Log: s.log, Workers: snapshotsAtOnce,
		HostPaths: s.hostPaths(),
		Captures:  captures{s.engine, s.images}, Builder: builds{s.builder, s.registries, s.hosted, contexts{s.contexts}}, Builds: s.Builds,
	})
	s.watchDefaults()
	limited, err := sandbox.ParseEgress(s.LimitedEgress)
	if err != nil {
		return err
	}
	s.sandboxes = sandbox.NewService(sandbox.Config{
		HostPaths:     s.hostPaths(),
		LimitedEgress: limited,
		Store:         s.db, Engine: s.engine, Agents: gateway.NewAgents(s.engine), Snapshots: s.snapshots, Regions: regions, Limits: s.accounts, Events: domain,
		Clock: s.clock, Log: s.log, DefaultSnapshot: s.DefaultSnapshot, StopGrace: stopGrace, Workers: sandboxesAtOnce,
	})
	s.doors.find = s.sandboxes.Get
	s.regions = regions
	return nil
}

// hostPaths are where this server and its sandboxes have their files.
func (s *server) hostPaths() fault.HostPaths {
	return fault.NewHostPaths(s.Config.DataDir, s.Config.RuntimeDir, "/sys/fs/cgroup")
}

// since is when this server was first started, as far as is known.
func (s *server) since(ctx context.Context) time.Time {
	founder, err := s.db.Founder(ctx)
	if err != nil {
		return s.clock.Now() // the first start
	}
	return founder.CreatedAt
}

func (s *server) makeHTTP(logs *buildlog.Logs) {
	control := httpapi.New(httpapi.Config{
		Accounts: s.accounts, Regions: s.regions, Snapshots: s.snapshots, Sandboxes: s.sandboxes, Registries: s.registries, Usage: s.db, Dissolver: dissolver{s.db, s.accounts, s.sandboxes, s.snapshots}, Logs: logs, Contexts: s.contexts, Hosted: s.hosted, Previews: s.previews,
		Ready: s.readiness(), Log: s.log, Version: s.version, PublicURL: s.PublicURL, DefaultSnapshot: s.DefaultSnapshot,
		ToolboxURL: s.toolboxURL, Operation: httpserver.SetOperation,
	})
	toolbox := gateway.New(gateway.Config{Authorizer: s.doors, Tokens: s.previews, Dialer: s.engine, Inspector: s.engine, Touch: s.sandboxes.Touch, Log: s.log})
	var all http.Handler = s.newWeb(control, toolbox, s.previewProxy(toolbox))
	s.handler.Store(&all)
}

// readiness are the parts that must work.
func (s *server) readiness() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"database": s.db.Ping,
		"space":    s.checkSpace,
		"disks":    s.checkDisks,
		"engine": func(ctx context.Context) error {
			_, err := s.engine.List(ctx)
			return err
		},
		"images": func(ctx context.Context) error {
			_, err := s.images.Owners(ctx)
			return err
		},
		"machine": func(context.Context) error { return s.unfit },
	}
}

// run serves until asked ends or a part fails, then ends everything but the
// sandboxes, and returns why it ended; nil when it was asked to.
func (s *server) run(asked context.Context) error {
	ctx, fail := context.WithCancelCause(asked)
	defer fail(nil)
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	var owned sync.WaitGroup
	own := func(name string, f func(context.Context) error) {
		owned.Go(func() {
			if err := f(work); err != nil {
				s.log.Error(name, "err", err)
				fail(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	own("snapshots", s.snapshots.Run)
	own("sandboxes", s.sandboxes.Run)
	own("default snapshots", s.completeDefaults)
	own("keys", s.flushKeys)
	own("contexts", s.contexts.Run)
	own("registry", s.hosted.Run)
	own("quarantine", s.quarantine.Run)
	own("database", s.countOn)
	own("claim of the database", s.db.Keep)
	own("ballast", s.tendBallast)
	own("web", func(context.Context) error {
		return s.http.Serve()
	})
	s.log.Info("serving", "address", s.http.Address().String(), "url", s.origin(), "version", s.version, "data", s.DataDir)
	notify(s.log, "READY=1")
	<-ctx.Done()
	notify(s.log, "STOPPING=1")
	var failure error
	if asked.Err() == nil {
		failure = context.Cause(ctx)
	}
	s.log.Info("ending; sandboxes run on", "cause", context.Cause(ctx))
	s.drain()
	stopWork()
	owned.Wait()
	return errors.Join(failure, s.close())
}

// drain takes no more requests, lets those that go on finish for the
// configured time, and then cuts them off.
func (s *server) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), s.ShutdownTimeout)
	defer cancel()
	err := s.hub.Close(ctx) // listeners would stay for ever; they come back to the next server
	if err != nil {
		s.log.Warn("close the listeners to events", "err", err)
	}
	s.http.Drain(ctx)
}

// flushKeys writes now and then when keys were last used, and at the end.
func (s *server) flushKeys(ctx context.Context) error {
	tick := s.clock.NewTicker(flushPeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C():
			if err := s.accounts.Flush(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("flush keys", "err", err)
			}
		case <-ctx.Done():
			return s.accounts.Flush(context.WithoutCancel(ctx))
		}
	}
}

// close ends what is open, the last first.
func (s *server) close() error {
	var errs []error
	for len(s.openParts) > 0 {
		last := s.openParts[len(s.openParts)-1]
		s.openParts = s.openParts[:len(s.openParts)-1]
		if err := last.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", last.name, err))
		}
	}
	return errors.Join(errs...)
}

// swapped is a handler that is set while it serves.
type swapped struct{ atomic.Pointer[http.Handler] }

// ServeHTTP implements http.Handler.
func (s *swapped) ServeHTTP(w http.ResponseWriter, r *http.Request) { (*s.Load()).ServeHTTP(w, r) }
