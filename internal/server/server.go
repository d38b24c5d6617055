// Package server is the composition root of `daytona server`: it opens the parts in
// order (open.go), runs them, and ends them in reverse. It is the only package that
// knows all the others, and decides nothing that one of them could. Command is where
// it begins; run is the life of the process.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"k8s.io/utils/clock"

	"github.com/opendaytona/daytona/internal/access"
	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/build"
	"github.com/opendaytona/daytona/internal/buildlog"
	"github.com/opendaytona/daytona/internal/config"
	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/dbidentity"
	"github.com/opendaytona/daytona/internal/defaultimage"
	"github.com/opendaytona/daytona/internal/durable"
	"github.com/opendaytona/daytona/internal/events"
	"github.com/opendaytona/daytona/internal/fileurl"
	"github.com/opendaytona/daytona/internal/httpserver"
	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/image/hosted"
	"github.com/opendaytona/daytona/internal/metrics"
	"github.com/opendaytona/daytona/internal/objectstore"
	"github.com/opendaytona/daytona/internal/pki"
	"github.com/opendaytona/daytona/internal/preview"
	"github.com/opendaytona/daytona/internal/quarantine"
	"github.com/opendaytona/daytona/internal/region"
	"github.com/opendaytona/daytona/internal/registrycreds"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/secretbox"
	"github.com/opendaytona/daytona/internal/snapshot"
	"github.com/opendaytona/daytona/internal/space"
	"github.com/opendaytona/daytona/internal/store"
	"github.com/opendaytona/daytona/internal/web"
)

// server is all the parts. Those below http are there once open has returned.
type server struct {
	config.Config
	version string
	log     *slog.Logger
	clock   clock.WithTicker
	host    host

	metrics *metrics.Metrics
	gate    web.Gate
	http    *httpserver.Server

	ballast   *space.Ballast
	db        *store.Store
	secrets   *secretbox.Key
	identity  dbidentity.Watch
	kept      quarantine.Index // what the database does not know
	accounts  *account.Service
	logs      *buildlog.Logs
	debian    *defaultimage.Debian
	images    *image.Store
	engine    hostEngine
	unfit     error             // why no sandbox can be started on this machine
	trusted   []byte            // certificates besides the usual ones
	transport http.RoundTripper // to registries and stores
	contexts  objectstore.Contexts
	// checkContexts tells whether they can be reached where they are elsewhere.
	checkContexts func(context.Context) error
	uploads       http.Handler // of the embedded ones; nil where they are elsewhere
	pushed        *hosted.Registry
	builder       *build.Builder
	defaultImage  *defaultimage.Image
	registries    *registrycreds.Service
	hub           *events.Hub
	names         *access.Cache
	regions       *region.Service
	jobs          *controller.Controller
	snapshots     *snapshot.Service
	sandboxes     *sandbox.Service
	defaults      *defaultimage.Snapshots
	quarantine    *quarantine.Keeper
	previews      *preview.Service
	fileURLs      *fileurl.Service
	web           *web.Web

	background supervisor
	openParts  []part // in the order they were opened
}

// part is something open that close must end.
type part struct {
	name  string
	close func() error
}

func (s *server) opened(name string, closer func() error) {
	s.openParts = append(s.openParts, part{name, closer})
}

// newServer takes the data directory and the address, so that a server which cannot
// have them says so at once. Nothing is answered before run.
func newServer(c config.Config, version string, h host, log *slog.Logger) (*server, error) {
	s := &server{Config: c, version: version, log: log, clock: clock.RealClock{}, host: h, background: supervisor{log: log}}
	if err := s.listen(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *server) listen() error {
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
	ca, err := pki.OpenAuthority(s.Below(config.TLSName))
	if err != nil {
		return err
	}
	s.metrics = metrics.New(s.version, s.clock)
	s.http, err = httpserver.Listen(httpserver.Options{
		Address: s.Listen, MaxConnections: s.MaxConnections, MaxConnectionsPerAddress: s.MaxConnectionsPerAddress,
		Certificate: ca.Certificate, Handler: &s.gate, Observe: s.metrics.Requested, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.opened("listener", s.http.Close)
	return nil
}

// run is the life of the process: it answers that it is alive, opens and recovers
// everything, serves until asked ends, and ends everything but the sandboxes. It
// returns why it ended; nil when it was asked to.
//
// Few failures end the process: a listener that is broken for good, a database that
// another server may have by now, and at the start whatever open cannot do without. Everything in the background is run again instead
// (supervisor).
func (s *server) run(asked context.Context) error {
	ctx, fail := context.WithCancelCause(asked)
	defer fail(nil)
	answering := make(chan struct{})
	go func() {
		defer close(answering)
		if err := s.http.Serve(); err != nil {
			fail(fmt.Errorf("web: %w", err))
		}
	}()
	recovered := notifyRecovering(s.log)
	err := s.open(ctx)
	if err == nil {
		s.serve(ctx, fail, recovered)
	}
	if ctx.Err() != nil { // also when that is why open failed
		err = context.Cause(ctx)
	}
	recovered()
	if asked.Err() != nil {
		err = nil
	}
	s.drain()
	<-answering
	return errors.Join(err, s.close())
}

// serve recovers the rows, lets requests in then, and works until ctx ends.
func (s *server) serve(ctx context.Context, fail context.CancelCauseFunc, recovered func()) {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer s.background.wait()
	defer stop()
	s.background.parts.Go(func() {
		if err := s.db.Keep(work); err != nil {
			fail(fmt.Errorf("claim of the database: %w", err))
		}
	})
	s.background.run(work, "controller", s.jobs.Run)
	s.background.run(work, "snapshots", s.snapshots.Run)
	s.background.run(work, "sandboxes", s.sandboxes.Run)
	s.background.run(work, "default snapshots", s.defaults.Run)
	s.background.run(work, "keys", s.flushKeys)
	s.background.run(work, "contexts", s.contexts.Run)
	s.background.run(work, "registry", s.pushed.Run)
	s.background.run(work, "quarantine", s.quarantine.Run)
	s.background.run(work, "database", endless(s.identity.CountOn))
	s.background.run(work, "ballast", endless(func(ctx context.Context) { s.ballast.Tend(ctx, s.clock, s.log) }))
	if err := errors.Join(s.snapshots.Resume(ctx), s.sandboxes.Resume(ctx)); err != nil {
		notify(s.log, "STOPPING=1")
		s.log.Info("ending before all was recovered; sandboxes run on", "cause", err)
		return
	}
	recovered()
	s.gate.Open(s.web)
	s.log.Info("serving", "address", s.http.Address().String(), "url", s.origin(), "version", s.version, "data", s.DataDir)
	notify(s.log, "READY=1\nSTATUS=serving")
	<-ctx.Done()
	notify(s.log, "STOPPING=1")
	s.log.Info("ending; sandboxes run on", "cause", context.Cause(ctx))
	s.drain()
}

// endless is a part that does not fail.
func endless(f func(context.Context)) func(context.Context) error {
	return func(ctx context.Context) error { f(ctx); return nil }
}

// drain takes no more requests, lets those that are running finish for the
// configured time, and then cuts them off. It does nothing the second time.
func (s *server) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), s.ShutdownTimeout)
	defer cancel()
	if s.hub != nil {
		// Listeners would stay for ever; they come back to the next server.
		if err := s.hub.Close(ctx); err != nil {
			s.log.Warn("close the listeners to events", "err", err)
		}
	}
	s.http.Drain(ctx)
}

// flushPeriod is how often it is written when keys were used.
const flushPeriod = 10 * time.Second

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

// origin is where clients on this machine, or everyone when that is configured,
// reach the server.
func (s *server) origin() string {
	if s.PublicURL != "" {
		return s.PublicURL
	}
	address := s.http.Address()
	ip := address.IP.String()
	if address.IP.IsUnspecified() {
		ip = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(ip, fmt.Sprint(address.Port))
}
