package account

import (
	"context"
	"fmt"
	"regexp"

	"github.com/google/uuid"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/permission"
)

// FirstKeyName names the key that an organization's owner begins with.
const FirstKeyName = "owner"

var organizationNamePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9 _.\-]{0,63}$`)

// Founded is an organization with its owner and the value of their first key,
// which is told only here.
type Founded struct {
	Organization *Organization
	Owner        *User
	Key          *Key
	Value        string
}

// FoundOrganization makes an organization, a user who owns it, and a key of
// theirs that may do all that does not reach beyond it. Errors: fault of kind
// Forbidden, Invalid; Conflict when an organization has the name.
func (s *Service) FoundOrganization(ctx context.Context, by Principal, name string) (*Founded, error) {
	if err := by.Need(permission.ManageServer); err != nil {
		return nil, err
	}
	if !organizationNamePattern.MatchString(name) {
		return nil, fault.Invalid("name", fmt.Sprintf("name %q is not valid: use 1 to 64 letters, digits, spaces and _ . -, beginning with a letter or digit.", name))
	}
	now := s.config.Clock.Now()
	id := uuid.NewString()
	u := &User{ID: uuid.NewString(), Name: "Owner of " + name, Email: "owner@" + id + ".localhost", CreatedAt: now}
	o := s.newOrganization(id, name, u)
	k, value := newKey(o.ID, u.ID, FirstKeyName, AllPermissions(false), now)
	if err := s.config.Store.Found(ctx, u, o, k); err != nil {
		return nil, fmt.Errorf("found organization %q: %w", name, err)
	}
	return &Founded{o, u, k, value}, nil
}

func (s *Service) newOrganization(id, name string, owner *User) *Organization {
	return &Organization{
		ID: id, Name: name, CreatedBy: owner.ID, DefaultRegion: s.config.DefaultRegion,
		CreatedAt: owner.CreatedAt, UpdatedAt: owner.CreatedAt,
	}
}

// EndOrganization ends all keys of an organization, and the requests that go on with
// them, so that nothing new is made in it. Errors: fault of kind NotFound,
// Forbidden; Conflict for the caller's own.
func (s *Service) EndOrganization(ctx context.Context, by Principal, id string) error {
	if _, err := s.Deletable(ctx, by, id); err != nil {
		return err
	}
	hashes, err := s.config.Store.DeleteKeys(ctx, id)
	if err != nil {
		return fmt.Errorf("end the keys of organization %s: %w", id, err)
	}
	s.ended(hashes...)
	return nil
}

// DeleteOrganization removes an organization that has been ended, and the users who
// are in no other. Errors: as EndOrganization's; Conflict while it has sandboxes or
// snapshots.
func (s *Service) DeleteOrganization(ctx context.Context, by Principal, id string) error {
	if _, err := s.Deletable(ctx, by, id); err != nil {
		return err
	}
	return s.config.Store.DeleteOrganization(ctx, id)
}

// Deletable finds an organization that the caller may delete. Errors: fault of kind
// NotFound, Forbidden; Conflict for the caller's own.
func (s *Service) Deletable(ctx context.Context, by Principal, id string) (*Organization, error) {
	if err := by.Need(permission.ManageServer); err != nil {
		return nil, err
	}
	o, err := s.config.Store.Organization(ctx, id)
	if err != nil {
		return nil, err
	}
	if o.ID == by.OrganizationID {
		return nil, fault.Conflict("ORGANIZATION_OWN", fmt.Sprintf("Organization %q belongs to the administrator and cannot be deleted.", o.Name))
	}
	return o, nil
}

// AllOrganizations lists those of the server. Errors: fault of kind Forbidden.
func (s *Service) AllOrganizations(ctx context.Context, by Principal) ([]*Organization, error) {
	if err := by.Need(permission.ManageServer); err != nil {
		return nil, err
	}
	return s.config.Store.Organizations(ctx)
}

// Organizations lists those that the caller's key reaches.
func (s *Service) Organizations(ctx context.Context, by Principal) ([]*Organization, error) {
	o, err := s.config.Store.Organization(ctx, by.OrganizationID)
	if err != nil {
		return nil, err
	}
	return []*Organization{o}, nil
}

// Organization finds one that the caller's key reaches. Errors: fault of kind
// NotFound, also for one that exists but is another's.
func (s *Service) Organization(ctx context.Context, by Principal, id string) (*Organization, error) {
	if id != by.OrganizationID {
		return nil, fault.NotFound("ORGANIZATION_NOT_FOUND", fmt.Sprintf("Organization %s does not exist.", id))
	}
	return s.config.Store.Organization(ctx, id)
}

// SetLimitedEgress says whether sandboxes of the organization, which may be any
// of the server, get the server's limited network when they say nothing of it.
// Errors: fault of kind NotFound, Forbidden.
func (s *Service) SetLimitedEgress(ctx context.Context, by Principal, id string, limited bool) error {
	if err := by.Need(permission.ManageServer); err != nil {
		return err
	}
	o, err := s.config.Store.Organization(ctx, id)
	if err != nil {
		return err
	}
	return s.config.Store.SetLimitedEgress(ctx, o.ID, limited)
}

// LimitedEgress tells whether they do.
func (s *Service) LimitedEgress(ctx context.Context, organizationID string) (bool, error) {
	o, err := s.config.Store.Organization(ctx, organizationID)
	if err != nil {
		return false, err
	}
	return o.LimitedEgress, nil
}

// OrganizationRegion is the region of an organization that names none.
func (s *Service) OrganizationRegion(ctx context.Context, organizationID string) (string, error) {
	o, err := s.config.Store.Organization(ctx, organizationID)
	if err != nil {
		return "", err
	}
	return o.DefaultRegion, nil
}
