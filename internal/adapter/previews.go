package adapter

import (
	"context"

	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/preview"
	"github.com/opendaytona/daytona/internal/sandbox"
)

// PreviewSandboxes is preview.Sandboxes.
type PreviewSandboxes struct{ Service *sandbox.Service }

// Get is preview.Sandboxes.
func (p PreviewSandboxes) Get(ctx context.Context, organizationID, idOrName string) (*preview.Sandbox, error) {
	return previewed(p.Service.Get(ctx, organizationID, idOrName))
}

// Find is preview.Sandboxes.
func (p PreviewSandboxes) Find(ctx context.Context, id string) (*preview.Sandbox, error) {
	return previewed(p.Service.Find(ctx, id))
}

func previewed(sb *sandbox.Sandbox, err error) (*preview.Sandbox, error) {
	if err != nil {
		return nil, err
	}
	return &preview.Sandbox{ID: sb.ID, Name: sb.Name, OrganizationID: sb.OrganizationID, Public: sb.Public, Stops: sb.Stops}, nil
}

// PreviewKeys is preview.Keys.
type PreviewKeys struct{ Service *account.Service }

// Authenticate is preview.Keys.
func (p PreviewKeys) Authenticate(ctx context.Context, token, organizationID string) (preview.Key, error) {
	principal, err := p.Service.Authenticate(ctx, token, organizationID)
	if err != nil {
		return nil, err
	}
	return previewKey{principal}, nil
}

type previewKey struct{ account.Principal }

// Organization is preview.Key.
func (k previewKey) Organization() string { return k.OrganizationID }
