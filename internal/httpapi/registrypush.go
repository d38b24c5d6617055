package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/containerd/platforms"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/permission"
)

// hostedID is the id of the registry that this server is itself.
const hostedID = "daytona"

type registryPush struct {
	RegionID string `query:"regionId" doc:"Region that needs the image (default: your organization's)"`
}

func (a *API) registerRegistryPush() {
	register(a, operation{id: "getTransientPushAccess", method: http.MethodGet, path: "/docker-registry/registry-push-access", needs: has(permission.WriteSnapshots), tag: "docker-registry", summary: "Get credentials for pushing to the server's registry"},
		func(ctx context.Context, in *registryPush) (*body[api.RegistryPushAccess], error) {
			organization := caller(ctx).OrganizationID
			if in.RegionID != "" {
				if err := a.Regions.CheckRegion(ctx, organization, in.RegionID); err != nil {
					return nil, err
				}
			}
			c := a.Hosted.Access(organization, caller(ctx).KeyHash)
			// As image references have it.
			_, host, _ := strings.Cut(origin(ctx), "://")
			return &body[api.RegistryPushAccess]{api.RegistryPushAccess{
				Username: c.Username, Secret: c.Secret, RegistryURL: host, RegistryID: hostedID, Project: c.Project,
				ExpiresAt: timestamp(c.Expires), Platform: platforms.DefaultString(),
			}}, nil
		})
}
