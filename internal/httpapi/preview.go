package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/permission"
	"github.com/opendaytona/daytona/internal/preview"
)

// SandboxPort is the path of the operations on a port.
type SandboxPort struct {
	SandboxID
	Port int `path:"port" doc:"From 1 to 65535"`
}

type signPreview struct {
	SandboxPort
	Seconds int `query:"expiresInSeconds" default:"60" doc:"Validity of the URL in seconds"`
}

type expirePreview struct {
	SandboxPort
	Token string `path:"token"`
}

func (a *API) registerPreview() {
	const tag, path = "preview", "/sandbox/{sandboxIdOrName}/ports/{port}"
	register(a, operation{id: "getPortPreviewUrl", method: http.MethodGet, path: path + "/preview-url", needs: has(permission.UsePreviews), sometimes: []Sometimes{{"the port is 2280, the toolbox's", permission.UseToolbox}}, tag: tag, summary: "Get the preview URL and token of a port of a sandbox"},
		func(ctx context.Context, in *SandboxPort) (*body[api.PortPreviewURL], error) {
			toolbox := caller(ctx).Need(permission.UseToolbox)
			if in.Port == preview.ToolboxPort && toolbox != nil {
				return nil, toolbox
			}
			name, token, err := a.Previews.Link(ctx, caller(ctx).OrganizationID, in.ID, in.Port, toolbox == nil)
			if err != nil {
				return nil, err
			}
			return &body[api.PortPreviewURL]{api.PortPreviewURL{SandboxID: name.Sandbox, URL: a.previewURL(ctx, name), Token: token}}, nil
		})
	register(a, operation{id: "getSignedPortPreviewUrl", method: http.MethodGet, path: path + "/signed-preview-url", needs: has(permission.UsePreviews), tag: tag, summary: "Create a signed preview URL for a port of a sandbox"},
		func(ctx context.Context, in *signPreview) (*body[api.SignedPortPreviewURL], error) {
			// A number too large for a duration is not in its bounds either.
			life := time.Duration(min(in.Seconds, int(preview.MaxLife/time.Second)+1)) * time.Second
			name, sb, err := a.Previews.Sign(ctx, caller(ctx).OrganizationID, in.ID, in.Port, life)
			if err != nil {
				return nil, err
			}
			return &body[api.SignedPortPreviewURL]{api.SignedPortPreviewURL{SandboxID: sb.ID, Port: name.Port, Token: name.Token, URL: a.previewURL(ctx, name)}}, nil
		})
	register(a, operation{id: "expireSignedPortPreviewUrl", method: http.MethodPost, path: path + "/signed-preview-url/{token}/expire", needs: has(permission.UsePreviews), tag: tag, summary: "Expire a signed preview URL"},
		func(ctx context.Context, in *expirePreview) (*none, error) {
			return nil, a.Previews.Expire(ctx, caller(ctx).OrganizationID, in.ID, in.Port, in.Token)
		})
}

func (a *API) previewURL(ctx context.Context, n preview.Name) string {
	return a.Previews.Domain.URL(origin(ctx), n)
}
