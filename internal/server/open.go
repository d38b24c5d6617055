package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/opendaytona/daytona/internal/access"
	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/adapter"
	"github.com/opendaytona/daytona/internal/build"
	"github.com/opendaytona/daytona/internal/buildlog"
	"github.com/opendaytona/daytona/internal/config"
	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/dbidentity"
	"github.com/opendaytona/daytona/internal/defaultimage"
	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/slot"
	"github.com/opendaytona/daytona/internal/events"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/fileurl"
	"github.com/opendaytona/daytona/internal/gateway"
	"github.com/opendaytona/daytona/internal/httpapi"
	"github.com/opendaytona/daytona/internal/httpserver"
	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/image/hosted"
	"github.com/opendaytona/daytona/internal/machine"
	"github.com/opendaytona/daytona/internal/objectstore"
	"github.com/opendaytona/daytona/internal/offboard"
	"github.com/opendaytona/daytona/internal/permission"
	"github.com/opendaytona/daytona/internal/pki"
	"github.com/opendaytona/daytona/internal/preview"
	"github.com/opendaytona/daytona/internal/quarantine"
	"github.com/opendaytona/daytona/internal/region"
	"github.com/opendaytona/daytona/internal/registrycreds"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/secretbox"
	"github.com/opendaytona/daytona/internal/signedtoken"
	"github.com/opendaytona/daytona/internal/snapshot"
	"github.com/opendaytona/daytona/internal/space"
	"github.com/opendaytona/daytona/internal/store"
	"github.com/opendaytona/daytona/internal/web"
)

// How much is done at once, and how long things may take.
const (
	stopGrace   = 10 * time.Second
	ballastSize = 64 << 20
	maxStepPIDs = 16384 // processes and threads of a build step
)

// open opens everything in the order in which one stands on the other, and recovers.
// An error ends the process: what fails here is needed by all that the server does,
// or would lose data if the server went on without it. Default snapshots, the
// operator's own S3 and a machine on which no sandbox starts do not: they are in the
// log and in the readiness, and tried again.
func (s *server) open(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		s.openDatabase, s.openImages, s.openEngine, s.openSources, s.makeServices, s.recover,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	s.makeWeb()
	return nil
}

func (s *server) openDatabase(ctx context.Context) (err error) {
	s.ballast = &space.Ballast{Path: s.Below(config.BallastName), Size: ballastSize}
	if err := s.ballast.Restore(); err != nil {
		s.log.Warn("keep space for deleting", "err", err)
	}
	s.kept = quarantine.Index{Dir: s.Below(config.QuarantineName)}
	// In PostgreSQL nothing is lost by opening an empty one; Regressed tells that it
	// is another one.
	if s.Database == "" {
		if err := dbidentity.RefuseLoss(s.DataDir, s.kept.Accepted()); err != nil {
			return err
		}
		if err := config.CreateDatabaseFile(s.DatabasePath()); err != nil {
			return err
		}
	}
	if s.secrets, err = secretbox.LoadKey(s.EncryptionKey, s.Below(config.EncryptionKeyName)); err != nil {
		return err
	}
	if s.db, err = store.Open(ctx, s.DatabasePath(), s.secrets, s.log); err != nil {
		return err
	}
	s.opened("database", s.db.Close)
	s.db.OnFull(s.ballast.Drop)
	s.db.MayGrow = s.roomFor
	s.identity = dbidentity.Watch{DataDir: s.DataDir, Database: s.db, Name: store.Name(s.DatabasePath()), Accepted: s.kept.Accepted(), Clock: s.clock, Log: s.log}
	s.accounts = account.NewService(account.Config{
		Store: s.db, Clock: s.clock, DefaultRegion: s.Region, Quota: s.Quota, DeactivateAfter: s.DeactivateAfter,
	})
	if s.logs, err = buildlog.New(s.Below(config.LogsName)); err != nil {
		return err
	}
	s.logs.Edit = s.hostPaths().Hide
	return nil
}

func (s *server) openImages(ctx context.Context) error {
	trusted, err := pki.ExtraCA(s.ExtraCA)
	if err != nil {
		return err
	}
	transport, err := pki.Transport(trusted)
	if err != nil {
		return err
	}
	s.opened("connections to registries", func() error { transport.CloseIdleConnections(); return nil })
	if s.debian, err = defaultimage.OpenDebian(s.host.images.Base, s.Below(config.BaseImageName), s.log); err != nil {
		return err
	}
	s.opened("base image", s.debian.Close)
	mirrors := map[string][]image.Mirror{s.debian.Host(): {s.debian.Mirror()}}
	for host, m := range s.Mirrors {
		mirrors[host] = append(mirrors[host], m...)
	}
	s.images, err = image.Open(ctx, image.Options{
		Dir: s.Below(config.ImagesName), Mirrors: mirrors, PlainHTTP: s.PlainHTTP, Transport: transport, Log: s.log,
		CheckReach: slot.NewReach(s.Subnet, s.Subnet6).Check, MaxSize: int64(s.ImageDisk) * config.GiB, MaxFiles: int64(s.ImageFiles),
	})
	if err != nil {
		return err
	}
	s.opened("image store", s.images.Close)
	s.trusted, s.transport = trusted, transport
	return nil
}

func (s *server) openEngine(ctx context.Context) (err error) {
	options := machine.Options(s.Config, s.version)
	options.Images, options.ExtraCA, options.Log, options.OutOfMemory = s.images, s.trusted, s.log, s.metrics.OutOfMemory
	if s.engine, err = s.host.openEngine(ctx, options); err != nil {
		return err
	}
	s.opened("engine", s.engine.Close)
	s.unfit, err = machine.Try(ctx, s.engine, s.Below(config.TriedName), s.log)
	return err
}

// openSources opens where images come from besides other people's registries: builds
// and what they copy, pushes, and the default image.
func (s *server) openSources(ctx context.Context) (err error) {
	if err := s.openContexts(ctx); err != nil {
		return err
	}
	s.pushed, err = hosted.Open(hosted.Options{
		Dir: s.Below(config.RegistryName), Quota: int64(s.QuotaRegistry) * config.GiB, Keep: s.RegistryKeep, Log: s.log,
		Origin: func(r *http.Request) string { return httpapi.Origin(r, s.PublicURL) },
		Kept:   adapter.KeptImages(s.db), Continue: s.accounts.Continue, Hold: s.kept.HoldsFiles,
	})
	if err != nil {
		return err
	}
	s.opened("registry", s.pushed.Close)
	s.builder, err = build.Open(ctx, build.Options{
		Dir: s.Below(config.BuildsName), Images: s.images, Steps: s.engine, Disks: s.engine.BuildDisks(), CacheSize: s.BuildCache, Timeout: s.BuildTimeout,
		Resources: engine.Resources{CPU: float64(s.BuildCPU), Memory: int64(s.BuildMemory) * config.GiB, Disk: int64(s.BuildDisk) * config.GiB, PIDs: maxStepPIDs},
		Log:       s.log.With(slog.String("part", "builder")),
	})
	if err != nil {
		return err
	}
	s.opened("builder", s.builder.Close)
	s.defaultImage = defaultimage.New(s.host.images, defaultimage.Options{Setting: s.DefaultImage, Debian: s.debian, Images: s.images, Builder: s.builder, Log: s.log})
	return nil
}

func (s *server) openContexts(ctx context.Context) error {
	if s.S3.Endpoint != "" {
		options := s.S3
		options.Transport = s.transport
		remote, err := objectstore.OpenRemote(options)
		if err != nil {
			return err
		}
		if err := remote.Check(ctx); err != nil {
			s.log.Error("files for builds cannot be uploaded until this works", "err", err)
		}
		s.contexts, s.checkContexts = remote, remote.Check
		return nil
	}
	embedded, err := objectstore.Open(objectstore.Options{
		Dir: s.Below(config.ContextsName), MaxSize: adapter.MaxContextSize, Life: adapter.ContextLife, Log: s.log,
		Needed: adapter.NeededContexts(s.db, s.kept), Continue: s.accounts.Continue,
	})
	if err != nil {
		return err
	}
	s.opened("contexts", embedded.Close)
	s.contexts, s.uploads = embedded, &objectstore.Bounded{Store: embedded, Quota: int64(s.QuotaUploads) * config.GiB}
	return nil
}

// makeServices makes the domain, and what listens to it before it.
func (s *server) makeServices(ctx context.Context) error {
	s.registries = &registrycreds.Service{Store: s.db, Sealer: s.secrets, Tester: adapter.RegistryTester{Images: s.images}, Clock: s.clock, Log: s.log}
	if err := s.registries.Verify(ctx); err != nil {
		return err
	}
	s.hub = events.New(events.Config{
		Authenticate: func(ctx context.Context, token, organizationID string) (events.Audience, error) {
			p, err := s.accounts.Authenticate(ctx, token, organizationID)
			return events.Audience{Organization: p.OrganizationID, Whole: p.Can(permission.ReadEnv)}, err
		},
		Log: s.log,
	})
	s.opened("events", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), httpserver.CutOffTimeout)
		defer cancel()
		return s.hub.Close(ctx)
	})
	s.metrics.Watch(s.db.SandboxStates, s.db.SnapshotStates, s.hub.Connections)
	s.names = access.NewCache()
	defaultMoved := defaultimage.NewMoved()
	domain := &adapter.Events{
		Publish: s.hub.Publish, Metrics: s.metrics, Toolboxes: s.names, DefaultSnapshot: defaultMoved, Pushed: s.pushed, Clock: s.clock, Log: s.log,
	}
	if s.PublicURL != "" {
		domain.ToolboxURL = web.ToolboxURL(s.Config, s.PublicURL)
	}
	s.regions = &region.Service{
		OrganizationDefault: s.accounts.OrganizationRegion,
		Regions:             []region.Region{{ID: s.Region, Name: s.Region, CreatedAt: s.accounts.Since(ctx)}},
	}
	s.jobs = controller.New(controller.Options{Log: s.log, Observe: s.metrics.JobRan})
	s.metrics.WatchJobs(s.jobs.Stats)
	s.snapshots = snapshot.NewService(snapshot.Config{
		Store: s.db, Regions: s.regions, Limits: s.accounts, Events: domain, Logs: s.logs, HostPaths: s.hostPaths(),
		Images:   adapter.Images{Store: s.images, Default: s.defaultImage, Pushed: s.pushed, Registries: s.registries},
		Captures: adapter.Captures{Capturer: s.engine, Images: s.images},
		Builder:  adapter.Builds{Builder: s.builder, Registries: s.registries, Pushed: s.pushed, Contexts: adapter.Contexts{Contexts: s.contexts}},
		Builds:   s.Builds, Controller: s.jobs, Clock: s.clock, Log: s.log,
	})
	limited, err := sandbox.ParseEgress(s.LimitedEgress)
	if err != nil {
		return err
	}
	s.sandboxes = sandbox.NewService(sandbox.Config{
		Store: s.db, Secrets: s.secrets, Engine: s.engine, Agents: gateway.NewAgents(s.engine), Snapshots: s.snapshots, Regions: s.regions, Limits: s.accounts, Events: domain,
		HostPaths: s.hostPaths(), LimitedEgress: limited, DefaultSnapshot: s.DefaultSnapshot, StopGrace: stopGrace, Controller: s.jobs, Clock: s.clock, Log: s.log,
	})
	s.defaults = defaultimage.NewSnapshots(defaultimage.SnapshotsOptions{
		Image: s.defaultImage, Snapshots: s.snapshots, Moved: defaultMoved, Region: s.Region, DataDir: s.DataDir, Clock: s.clock, Log: s.log,
	})
	secret, err := signedtoken.LoadKey(s.Below(config.PreviewKeyName))
	if err != nil {
		return fmt.Errorf("key of the previews: %w", err)
	}
	s.previews = preview.NewService(preview.Config{
		Domain: s.PreviewDomain(), Store: s.db, Sandboxes: adapter.PreviewSandboxes{Service: s.sandboxes}, Keys: adapter.PreviewKeys{Service: s.accounts}, Secret: secret, Clock: s.clock,
	})
	s.fileURLs = &fileurl.Service{Sandboxes: adapter.FileURLSandboxes{Service: s.sandboxes}, Secret: secret, Clock: s.clock}
	return nil
}

// recover compares what is on the machine with the rows, and makes what a first start
// has to. Before that no service may work: it would take what an older database knew
// for its own to clean up.
func (s *server) recover(ctx context.Context) error {
	regressed, err := s.identity.Regressed(ctx)
	if err != nil {
		return err
	}
	s.quarantine = &quarantine.Keeper{
		Index: s.kept, Keep: s.QuarantineKeep, Disks: s.engine, Images: s.images, Clock: s.clock, Log: s.log,
		Rows:  adapter.KnownRows{Rows: s.db, SnapshotService: s.snapshots},
		Adopt: adapter.Adopter{Accounts: s.accounts, Sandboxes: s.sandboxes}.Adopt,
	}
	if err := s.quarantine.Gather(ctx, regressed); err != nil {
		return err
	}
	if err := s.bootstrap(ctx); err != nil {
		return err
	}
	if err := s.identity.Remember(ctx); err != nil {
		return err
	}
	if err := s.quarantine.Begun(); err != nil {
		return err
	}
	if err := s.defaults.Record(ctx); err != nil {
		s.log.Error("record the default snapshots; it is tried again", "err", err)
	}
	return nil
}

// bootstrap makes the administrator and a key where they are missing, and keeps
// the key with the server's present address. The key is written nowhere else:
// standard output and the log are journals that more than root may read.
func (s *server) bootstrap(ctx context.Context) error {
	path := s.Below(config.CredentialsName)
	kept, err := config.ReadCredentials(path)
	if err != nil {
		return err
	}
	value, err := s.accounts.Bootstrap(ctx, kept.APIKey)
	if err != nil {
		return err
	}
	now := config.Credentials{APIURL: s.origin() + httpapi.Prefix, APIKey: kept.APIKey, DashboardURL: s.origin()}
	if value != "" {
		now.APIKey = value
	}
	if now != kept {
		if err := now.Write(path); err != nil {
			return err
		}
	}
	if value != "" {
		s.log.Info("made the administrator's API key, which only root may read: `daytona env` prints it", "file", path)
	}
	return s.accounts.SetConfiguredKey(ctx, now.APIKey, s.AdminAPIKey)
}

func (s *server) makeWeb() {
	toolboxURL := func(origin string) string { return web.ToolboxURL(s.Config, origin) }
	control := httpapi.New(httpapi.Config{
		Accounts: s.accounts, Regions: s.regions, Snapshots: s.snapshots, Sandboxes: s.sandboxes, Registries: s.registries, Previews: s.previews, FileURLs: s.fileURLs,
		Usage: s.db, Contexts: s.contexts, Hosted: s.pushed, Logs: s.logs,
		Dissolver: offboard.Offboarder{Rows: s.db, Accounts: s.accounts, Sandboxes: s.sandboxes, Snapshots: s.snapshots},
		Ready:     s.readiness(), Log: s.log, Version: s.version, PublicURL: s.PublicURL, DefaultSnapshot: s.DefaultSnapshot,
		ToolboxURL: toolboxURL, Operation: httpserver.SetOperation,
	})
	toolbox := gateway.New(gateway.Config{
		Authorizer: s.toolboxes(),
		Tokens:     s.previews, FileURLs: s.fileURLs, Dialer: s.engine, Inspector: s.engine, Touch: s.sandboxes.Touch, Log: s.log,
	})
	previews := gateway.NewPreview(gateway.PreviewConfig{
		Admission: s.previews, Domain: s.previews.Domain, Toolbox: toolbox, Dialer: s.engine, Touch: s.sandboxes.Touch, Log: s.log,
		CrossOrigin: gateway.CrossOrigin{Origins: s.CORSOrigins},
		Origin:      func(r *http.Request) string { return httpapi.Origin(r, s.PublicURL) },
	})
	s.web = web.New(web.Config{
		API: control, Events: s.hub, Toolbox: toolbox, Preview: previews, Uploads: s.uploads, Pushes: s.pushed,
		Metrics: s.metrics.Registry, Accounts: s.accounts, Ballast: s.ballast, Settings: s.Config, Version: s.version, Log: s.log,
	})
}

// toolboxes says who may reach the toolboxes.
func (s *server) toolboxes() access.Toolboxes {
	return access.Toolboxes{Accounts: s.accounts, Sandboxes: s.sandboxes, Cache: s.names}
}

// readiness are the parts that must work.
func (s *server) readiness() map[string]func(context.Context) error {
	checks := map[string]func(context.Context) error{
		"database": s.db.Ping,
		"space": func(context.Context) error {
			if space.Require(s.DataDir, 0, space.Reserve) != nil {
				return fmt.Errorf("%s: %w", s.DataDir, space.ErrLow)
			}
			return nil
		},
		"disks": s.engine.Health,
		"engine": func(ctx context.Context) error {
			_, err := s.engine.List(ctx)
			return err
		},
		"images": func(ctx context.Context) error {
			_, err := s.images.Owners(ctx)
			return err
		},
		"machine":    func(context.Context) error { return s.unfit },
		"background": s.background.check,
	}
	if s.checkContexts != nil {
		checks["uploads"] = s.checkContexts
	}
	return checks
}

// roomFor fails unless the database may grow.
func (s *server) roomFor() error {
	if space.Require(s.DataDir, 0, space.Floor) != nil {
		return errors.Join(space.ErrLow, errors.New("the database may not grow"))
	}
	return nil
}

// hostPaths are where this server and its sandboxes have their files.
func (s *server) hostPaths() fault.HostPaths {
	return fault.NewHostPaths(s.DataDir, s.RuntimeDir, "/sys/fs/cgroup")
}
