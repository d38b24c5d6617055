package server

import (
	"context"
	"log/slog"
	"net/netip"

	"github.com/opendaytona/daytona/internal/config"

	"github.com/opendaytona/daytona/internal/build"
	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/image/hosted"
	"github.com/opendaytona/daytona/internal/registry"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// builds is the builder as snapshots need it (snapshot.Builder): it knows where
// contexts and credentials are.
type builds struct {
	*build.Builder
	registries *registry.Service
	hosted     *hosted.Registry
	contexts   contexts
}

// Build is snapshot.Builder.
func (b builds) Build(ctx context.Context, r snapshot.BuildRequest) (*image.Image, error) {
	return b.Builder.Build(ctx, build.Request{
		ID: r.ID, Owner: r.Owner, Scope: r.OrganizationID, Dockerfile: r.Build.Dockerfile, Log: r.Log, Place: r.Place,
		Credentials: b.credentials(r.OrganizationID),
		Fill: func(ctx context.Context, dir string) error {
			return b.contexts.fill(ctx, r.OrganizationID, r.Build, dir)
		},
	})
}

// Versions is snapshot.Builder.
func (b builds) Versions(ctx context.Context, organizationID string, hashes []string) ([]string, error) {
	return b.contexts.versions(ctx, organizationID, hashes)
}

// credentials are an organization's for other registries, and the way to what
// it has pushed to this server, whatever the host: clients may have reached us by
// any name.
func (b builds) credentials(organizationID string) image.Credentials {
	others := credentialsOf(b.registries, organizationID)
	return func(ctx context.Context, r image.Repository) (*image.Credential, error) {
		if own := b.hosted.Transport(organizationID, r.Name); own != nil {
			return &image.Credential{Entry: "this server", Transport: own}, nil
		}
		return others(ctx, r)
	}
}

// maxStepPIDs is what a build step may have of processes and threads.
const maxStepPIDs = 16384

// checkReach fails for an address to which no registry may send this server. The
// engine that knows them is opened after the image store, which fetches nothing
// before.
func (s *server) checkReach(to netip.Addr) error {
	return s.engine.CheckReach(to)
}

func (s *server) openBuilder(ctx context.Context) error {
	b, err := build.Open(ctx, build.Options{
		Dir: s.Below(config.BuildsName), Images: s.images, Steps: s.engine, Disks: s.engine.BuildDisks(), CacheSize: s.BuildCache, Timeout: s.BuildTimeout,
		Resources: engine.Resources{CPU: float64(s.BuildCPU), Memory: int64(s.BuildMemory) * config.GiB, Disk: int64(s.BuildDisk) * config.GiB, PIDs: maxStepPIDs},
		Log:       s.log.With(slog.String("part", "builder")),
	})
	if err != nil {
		return err
	}
	s.builder = b
	s.opened("builder", b.Close)
	return nil
}
