package httpapi

import (
	"context"
	"net/http"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/permission"
	"github.com/opendaytona/daytona/internal/registrycreds"
)

type registryID struct {
	ID string `path:"id"`
}

type updateRegistry struct {
	ID   string `path:"id"`
	Body api.UpdateDockerRegistry
}

func (a *API) registerRegistry() {
	register(a, operation{id: "createRegistry", method: http.MethodPost, path: "/docker-registry", status: http.StatusCreated, needs: has(permission.WriteRegistries), tag: "docker-registry", summary: "Add credentials for a registry"},
		func(ctx context.Context, in *body[api.CreateDockerRegistry]) (*body[api.DockerRegistry], error) {
			b := in.Body
			r, warning, err := a.Registries.Create(ctx, caller(ctx).OrganizationID, registrycreds.Params{
				Name: &b.Name, URL: &b.URL, Username: &b.Username, Password: &b.Password, Project: &b.Project,
			})
			if err != nil {
				return nil, err
			}
			return &body[api.DockerRegistry]{wireRegistry(r, warning)}, nil
		})
	register(a, operation{id: "listRegistries", method: http.MethodGet, path: "/docker-registry", needs: anyKey, tag: "docker-registry", summary: "List registries with stored credentials"},
		func(ctx context.Context, _ *none) (*body[[]api.DockerRegistry], error) {
			list, err := a.Registries.List(ctx, caller(ctx).OrganizationID)
			if err != nil {
				return nil, err
			}
			out := make([]api.DockerRegistry, len(list))
			for i, r := range list {
				out[i] = wireRegistry(r, "")
			}
			return &body[[]api.DockerRegistry]{out}, nil
		})
	register(a, operation{id: "getRegistry", method: http.MethodGet, path: "/docker-registry/{id}", needs: anyKey, tag: "docker-registry", summary: "Get a registry"},
		func(ctx context.Context, in *registryID) (*body[api.DockerRegistry], error) {
			r, err := a.Registries.Get(ctx, caller(ctx).OrganizationID, in.ID)
			if err != nil {
				return nil, err
			}
			return &body[api.DockerRegistry]{wireRegistry(r, "")}, nil
		})
	register(a, operation{id: "updateRegistry", method: http.MethodPatch, path: "/docker-registry/{id}", needs: has(permission.WriteRegistries), tag: "docker-registry", summary: "Update a registry's credentials"},
		func(ctx context.Context, in *updateRegistry) (*body[api.DockerRegistry], error) {
			b := in.Body
			r, warning, err := a.Registries.Update(ctx, caller(ctx).OrganizationID, in.ID, registrycreds.Params{
				Name: b.Name, URL: b.URL, Username: b.Username, Password: b.Password, Project: b.Project,
			})
			if err != nil {
				return nil, err
			}
			return &body[api.DockerRegistry]{wireRegistry(r, warning)}, nil
		})
	register(a, operation{id: "deleteRegistry", method: http.MethodDelete, path: "/docker-registry/{id}", status: http.StatusNoContent, needs: has(permission.DeleteRegistries), tag: "docker-registry", summary: "Delete a registry's credentials"},
		func(ctx context.Context, in *registryID) (*none, error) {
			return nil, a.Registries.Delete(ctx, caller(ctx).OrganizationID, in.ID)
		})
}

func wireRegistry(r *registrycreds.Registry, warning string) api.DockerRegistry {
	return api.DockerRegistry{
		ID: r.ID, Name: r.Name, URL: r.URL, Username: r.Username, Project: r.Project, RegistryType: api.RegistryOfOrganization,
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, Warning: warning,
	}
}
