package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opendaytona/daytona/internal/fault"
)

// ConfiguredKeyName is the name of the key that the configuration gives.
const ConfiguredKeyName = "admin-from-configuration"

// SetConfiguredKey makes value the administrator's only key of the name
// ConfiguredKeyName; "" deletes it. localKey is a key of the administrator's.
func (s *Service) SetConfiguredKey(ctx context.Context, localKey, value string) error {
	admin, err := s.Authenticate(ctx, localKey, "")
	if err != nil {
		return fmt.Errorf("set the configured API key: %w", err)
	}
	if value != "" {
		switch k, _, err := s.config.Store.KeyByHash(ctx, HashKey(value)); {
		case err == nil && k.Name == ConfiguredKeyName:
			return nil
		case err == nil:
			return fmt.Errorf("set the configured API key: its value is already that of key %q", k.Name)
		case !fault.Is(err, fault.KindNotFound):
			return fmt.Errorf("set the configured API key: %w", err)
		}
	}
	if _, err := s.config.Store.DeleteKey(ctx, admin.OrganizationID, admin.UserID, ConfiguredKeyName); err != nil && !fault.Is(err, fault.KindNotFound) {
		return fmt.Errorf("end the formerly configured API key: %w", err)
	}
	if value == "" {
		return nil
	}
	err = s.config.Store.InsertKey(ctx, &Key{
		Hash: HashKey(value), Name: ConfiguredKeyName, Masked: value[:4] + "************" + value[len(value)-4:],
		OrganizationID: admin.OrganizationID, UserID: admin.UserID, Permissions: AllPermissions(true), CreatedAt: s.config.Clock.Now(),
	})
	if err != nil {
		return fmt.Errorf("set the configured API key: %w", err)
	}
	return nil
}

// AdministratorsOrganization is the id of the first user's organization.
func (s *Service) AdministratorsOrganization(ctx context.Context) (string, error) {
	founder, err := s.config.Store.Founder(ctx)
	if err != nil {
		return "", err
	}
	organizations, err := s.config.Store.OrganizationsOf(ctx, founder.ID)
	if err != nil || len(organizations) == 0 {
		return "", errors.Join(err, errors.New("the administrator has no organization"))
	}
	return organizations[0].ID, nil
}

// Exists reports whether there is an organization of that id.
func (s *Service) Exists(ctx context.Context, organizationID string) (bool, error) {
	_, err := s.config.Store.Organization(ctx, organizationID)
	if fault.Is(err, fault.KindNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Since is when the server was first started: when its first user was made, or now.
func (s *Service) Since(ctx context.Context) time.Time {
	founder, err := s.config.Store.Founder(ctx)
	if err != nil {
		return s.config.Clock.Now()
	}
	return founder.CreatedAt
}
