package adapter

import (
	"context"

	"github.com/opendaytona/daytona/internal/fileurl"
	"github.com/opendaytona/daytona/internal/sandbox"
)

// FileURLSandboxes is fileurl.Sandboxes.
type FileURLSandboxes struct{ Service *sandbox.Service }

// Get is fileurl.Sandboxes.
func (f FileURLSandboxes) Get(ctx context.Context, organizationID, idOrName string) (fileurl.Sandbox, error) {
	return signing(f.Service.Get(ctx, organizationID, idOrName))
}

// Find is fileurl.Sandboxes.
func (f FileURLSandboxes) Find(ctx context.Context, id string) (fileurl.Sandbox, error) {
	return signing(f.Service.Find(ctx, id))
}

// Salt is fileurl.Sandboxes.
func (f FileURLSandboxes) Salt(ctx context.Context, organizationID, idOrName string) (fileurl.Sandbox, error) {
	return signing(f.Service.RotateSigningKey(ctx, organizationID, idOrName))
}

func signing(sb *sandbox.Sandbox, err error) (fileurl.Sandbox, error) {
	if err != nil {
		return fileurl.Sandbox{}, err
	}
	return fileurl.Sandbox{ID: sb.ID, Salt: sb.SigningSalt}, nil
}
