package httpapi

import (
	"context"
	"net/http"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/objectstore"
)

func (a *API) registerObjectStorage() {
	register(a, operation{id: "getPushAccess", method: http.MethodGet, path: "/object-storage/push-access", permission: api.WriteSnapshots, tag: "object-storage", summary: "Get credentials for the upload of build contexts"},
		func(ctx context.Context, _ *none) (*body[api.StorageAccess], error) {
			organization := caller(ctx).OrganizationID
			c := a.Contexts.Access(organization)
			return &body[api.StorageAccess]{api.StorageAccess{
				AccessKey: c.AccessKey, Secret: c.Secret, SessionToken: c.SessionToken, StorageURL: origin(ctx),
				OrganizationID: organization, Bucket: objectstore.Bucket, Region: objectstore.Region,
			}}, nil
		})
}
