package daytona

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/opendaytona/daytona/api"
)

// RegistryService keeps credentials for other people's registries. Pulls and
// builds of the organization use them.
type RegistryService struct{ client *Client }

// CreateRegistryParams say what credential to keep. Of several that fit an
// image, the one with the longest URL and project is used.
type CreateRegistryParams struct {
	Name     string
	URL      string // host, with port and path if any; "" is docker.io
	Username string
	Password string // or token
	Project  string // only for images below it; "" is all
}

// Create keeps a credential. One that does not work is kept all the same, with a
// Warning that says why. Errors: ErrInvalid; ErrConflict for the name.
func (s *RegistryService) Create(ctx context.Context, p CreateRegistryParams) (*api.DockerRegistry, error) {
	return s.one(ctx, request{method: http.MethodPost, url: registries, body: api.CreateDockerRegistry(p)})
}

const registries = "/docker-registry"

func (s *RegistryService) one(ctx context.Context, r request) (*api.DockerRegistry, error) {
	var registry api.DockerRegistry
	if err := s.client.do(ctx, r, &registry); err != nil {
		return nil, err
	}
	return &registry, nil
}

// List returns all of the organization, by name.
func (s *RegistryService) List(ctx context.Context) ([]api.DockerRegistry, error) {
	var all []api.DockerRegistry
	err := s.client.do(ctx, request{method: http.MethodGet, url: registries}, &all)
	return all, err
}

// Get finds one by its id, or else by its name. Errors: ErrNotFound.
func (s *RegistryService) Get(ctx context.Context, idOrName string) (*api.DockerRegistry, error) {
	all, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	var named *api.DockerRegistry
	for i, r := range all {
		if r.ID == idOrName {
			return &all[i], nil
		}
		if r.Name == idOrName {
			named = &all[i]
		}
	}
	if named == nil {
		return nil, &Error{StatusCode: http.StatusNotFound, Code: "REGISTRY_NOT_FOUND", Message: fmt.Sprintf("Registry %q does not exist.", idOrName)}
	}
	return named, nil
}

// UpdateRegistryParams say what to change; nil fields stay.
type UpdateRegistryParams struct {
	Name     *string
	URL      *string // of another registry needs the password too
	Username *string
	Password *string
	Project  *string
}

// Update changes a credential, which may warn as Create does. Pulls that go on
// use what is new. Errors: ErrNotFound, ErrInvalid, ErrConflict for the name.
func (s *RegistryService) Update(ctx context.Context, id string, p UpdateRegistryParams) (*api.DockerRegistry, error) {
	return s.one(ctx, request{method: http.MethodPatch, url: registries + "/" + url.PathEscape(id), body: api.UpdateDockerRegistry(p)})
}

// Delete forgets a credential. Images that were pulled by it stay. Errors:
// ErrNotFound.
func (s *RegistryService) Delete(ctx context.Context, id string) error {
	return s.client.do(ctx, request{method: http.MethodDelete, url: registries + "/" + url.PathEscape(id)}, nil)
}
