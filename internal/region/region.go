// Package region says where sandboxes can run. A server has one region, named
// by its configuration.
package region

import (
	"context"
	"fmt"
	"time"

	"github.com/opendaytona/daytona/internal/fault"
)

// Region is a place where sandboxes run.
type Region struct {
	ID        string
	Name      string
	CreatedAt time.Time
}

// Service tells which regions there are.
type Service struct {
	Regions []Region // at least one; the first is the default
	// OrganizationDefault is the region that an organization prefers.
	OrganizationDefault func(ctx context.Context, organizationID string) (string, error)
}

// List returns all regions.
func (s *Service) List() []Region { return s.Regions }

// Get finds one by id. Errors: fault of kind NotFound.
func (s *Service) Get(id string) (Region, error) {
	for _, r := range s.Regions {
		if r.ID == id {
			return r, nil
		}
	}
	return Region{}, fault.NotFound("REGION_NOT_FOUND", fmt.Sprintf("Region %q does not exist; this server has %s.", id, s.names()))
}

func (s *Service) names() string {
	text := ""
	for i, r := range s.Regions {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%q", r.ID)
	}
	return text
}

// CheckRegion fails with fault of kind NotFound for an unknown region.
func (s *Service) CheckRegion(_ context.Context, _, id string) error {
	_, err := s.Get(id)
	return err
}

// DefaultRegion is the region of an organization that names none: the one it
// prefers while that is there, else the server's.
func (s *Service) DefaultRegion(ctx context.Context, organizationID string) (string, error) {
	preferred, err := s.OrganizationDefault(ctx, organizationID)
	if err != nil {
		return "", err
	}
	if _, err := s.Get(preferred); err == nil {
		return preferred, nil
	}
	return s.Regions[0].ID, nil
}
