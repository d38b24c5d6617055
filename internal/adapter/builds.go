package adapter

import (
	"context"

	"github.com/opendaytona/daytona/internal/build"
	"github.com/opendaytona/daytona/internal/image"
	"github.com/opendaytona/daytona/internal/image/hosted"
	"github.com/opendaytona/daytona/internal/oci"
	"github.com/opendaytona/daytona/internal/registrycreds"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// Builds is the builder as snapshots need it (snapshot.Builder): it knows where
// contexts and credentials are.
type Builds struct {
	*build.Builder
	Registries *registrycreds.Service
	Pushed     *hosted.Registry
	Contexts   Contexts
}

// Build is snapshot.Builder.
func (b Builds) Build(ctx context.Context, r snapshot.BuildRequest) (*oci.Image, error) {
	return described(b.Builder.Build(ctx, build.Request{
		ID: r.ID, Owner: r.Owner, Scope: r.OrganizationID, Dockerfile: r.Build.Dockerfile, Log: r.Log, Place: r.Place,
		Credentials: b.credentials(r.OrganizationID),
		Fill: func(ctx context.Context, dir string) error {
			return b.Contexts.fill(ctx, r.OrganizationID, r.Build, dir)
		},
	}))
}

// Versions is snapshot.Builder.
func (b Builds) Versions(ctx context.Context, organizationID string, hashes []string) ([]string, error) {
	return b.Contexts.versions(ctx, organizationID, hashes)
}

// credentials are an organization's for other registries, and the way to what
// it has pushed to this server, whatever the host: clients may have reached us by
// any name.
func (b Builds) credentials(organizationID string) image.Credentials {
	others := credentialsOf(b.Registries, organizationID)
	return func(ctx context.Context, r image.Repository) (*image.Credential, error) {
		if own := b.Pushed.Transport(organizationID, r.Name); own != nil {
			return &image.Credential{Entry: "this server", Transport: own}, nil
		}
		return others(ctx, r)
	}
}
