package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/permission"
)

type pushAccess struct {
	Source string `header:"X-Daytona-Source" doc:"Name of the client"`
}

// storageURL is where the client uploads: where it reached us. The Python SDK's
// client refuses to speak without TLS, which the same address takes.
func storageURL(ctx context.Context, source string) string {
	url := origin(ctx)
	if strings.HasPrefix(source, "sdk-python") {
		if rest, plain := strings.CutPrefix(url, "http://"); plain {
			return "https://" + rest
		}
	}
	return url
}

func (a *API) registerObjectStorage() {
	register(a, operation{id: "getPushAccess", method: http.MethodGet, path: "/object-storage/push-access", needs: has(permission.WriteSnapshots), tag: "object-storage", summary: "Get credentials for uploading build contexts"},
		func(ctx context.Context, in *pushAccess) (*body[api.StorageAccess], error) {
			organization := caller(ctx).OrganizationID
			c, err := a.Contexts.Access(ctx, organization, caller(ctx).KeyHash)
			if err != nil {
				return nil, err
			}
			place := a.Contexts.Place()
			if place.URL == "" {
				place.URL = storageURL(ctx, in.Source)
			}
			return &body[api.StorageAccess]{api.StorageAccess{
				AccessKey: c.AccessKey, Secret: c.Secret, SessionToken: c.SessionToken, StorageURL: place.URL,
				OrganizationID: organization, Bucket: place.Bucket, Region: place.Region,
			}}, nil
		})
}
