package httpapi

import (
	"context"
	"net/http"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/permission"
)

type deleteOrganization struct {
	ID           string `path:"organizationId"`
	WithContents bool   `query:"withContents" doc:"Also delete its sandboxes, snapshots and warm pools"`
}

func (a *API) registerAdmin() {
	const tag = "admin"
	register(a, operation{id: "adminCreateOrganization", method: http.MethodPost, path: "/admin/organizations", status: http.StatusCreated, needs: has(permission.ManageServer), tag: tag, summary: "Create an organization with an owner and an API key; only this response contains the key's value"},
		func(ctx context.Context, in *body[api.AdminCreateOrganization]) (*body[api.AdminOrganizationCreated], error) {
			f, err := a.Accounts.FoundOrganization(ctx, caller(ctx), in.Body.Name)
			if err != nil {
				return nil, err
			}
			return &body[api.AdminOrganizationCreated]{api.AdminOrganizationCreated{
				Organization: a.wireOrganization(f.Organization), APIKey: f.Value, KeyName: f.Key.Name,
			}}, nil
		})
	register(a, operation{id: "adminListOrganizations", method: http.MethodGet, path: "/admin/organizations", needs: has(permission.ManageServer), tag: tag, summary: "List all organizations of the server"},
		func(ctx context.Context, _ *none) (*body[[]api.Organization], error) {
			all, err := a.Accounts.AllOrganizations(ctx, caller(ctx))
			if err != nil {
				return nil, err
			}
			out := make([]api.Organization, len(all))
			for i, o := range all {
				out[i] = a.wireOrganization(o)
			}
			return &body[[]api.Organization]{out}, nil
		})
	register(a, operation{id: "adminDeleteOrganization", method: http.MethodDelete, path: "/admin/organizations/{organizationId}", status: http.StatusNoContent, needs: has(permission.ManageServer), tag: tag, summary: "Delete an organization, its keys, and users who belong to no other organization"},
		func(ctx context.Context, in *deleteOrganization) (*none, error) {
			return nil, a.Dissolver.Dissolve(ctx, caller(ctx), in.ID, in.WithContents)
		})
}
