package httpapi

import (
	"context"
	"net/http"

	"github.com/opendaytona/daytona/internal/permission"
)

// registerSigningKey declares the operations on the keys with which clients sign
// URLs of files. Who has a key can read and write the sandbox's files.
func (a *API) registerSigningKey() {
	const tag, path = "sandbox", "/sandbox/{sandboxId}/signing-key"
	register(a, operation{id: "getSandboxSigningKey", method: http.MethodGet, path: path, needs: has(permission.UseToolbox), tag: tag, summary: "Get the key that signs URLs of a sandbox's files"},
		func(ctx context.Context, in *SandboxByID) (*body[string], error) {
			key, err := a.FileURLs.Key(ctx, caller(ctx).OrganizationID, in.ID)
			return &body[string]{key}, err
		})
	register(a, operation{id: "rotateSigningKey", method: http.MethodPost, path: path + "/rotate", needs: has(permission.UseToolbox), tag: tag, summary: "Replace the key that signs URLs of a sandbox's files"},
		func(ctx context.Context, in *SandboxByID) (*body[string], error) {
			key, err := a.FileURLs.Rotate(ctx, caller(ctx).OrganizationID, in.ID)
			return &body[string]{key}, err
		})
}
