package server

import (
	"context"
	"errors"
	"log/slog"

	"github.com/opendaytona/daytona/internal/build"
	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/registry"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// builds is the builder as snapshots need it (snapshot.Builder): it knows where
// contexts and credentials are.
type builds struct {
	*build.Builder
	registries *registry.Service
	fill       func(ctx context.Context, organizationID string, hashes []string, dir string) error
}

// Build is snapshot.Builder.
func (b builds) Build(ctx context.Context, r snapshot.BuildRequest) (*image.Image, error) {
	return b.Builder.Build(ctx, build.Request{
		ID: r.ID, Owner: r.Owner, Dockerfile: r.Build.Dockerfile, Log: r.Log,
		Credentials: credentialsOf(b.registries, r.OrganizationID),
		Fill: func(ctx context.Context, dir string) error {
			return b.fill(ctx, r.OrganizationID, r.Build.Contexts, dir)
		},
	})
}

// maxStepPIDs is what a build step may have of processes and threads.
const maxStepPIDs = 16384

func (s *server) openBuilder(ctx context.Context) error {
	steps, ok := s.engine.(build.Steps)
	if !ok {
		return errors.New("this engine cannot run the steps of builds")
	}
	b, err := build.Open(ctx, build.Options{
		Dir: s.below(buildsName), Images: s.images, Steps: steps, CacheSize: s.BuildCache, Timeout: s.BuildTimeout,
		Resources: engine.Resources{CPU: float64(s.BuildCPU), Memory: int64(s.BuildMemory) * gib, Disk: int64(s.BuildDisk) * gib, PIDs: maxStepPIDs},
		Log:       s.log.With(slog.String("part", "builder")),
	})
	if err != nil {
		return err
	}
	s.builder = b
	s.opened("builder", b.Close)
	return nil
}
