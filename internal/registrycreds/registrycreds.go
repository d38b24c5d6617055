// Package registrycreds holds the credentials of other people's registries: the
// type, what is valid, which of them opens a repository, and the service that
// keeps them. Passwords are sealed; only the service opens them. It names the
// Store, Sealer and Tester that it needs and imports no adapter. Look next at
// address.go (what an entry is for) and service.go.
package registrycreds

import (
	"context"
	"time"
)

// Registry is an organization's credential for a registry, or for a part of one.
type Registry struct {
	ID             string
	OrganizationID string
	Name           string // unique in the organization
	URL            string // as it was given
	Username       string
	Password       string // sealed
	Project        string // what it is for, below the URL; "" is everything there
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// Credential is one that is open.
type Credential struct {
	Entry    string // the registry's name
	Username string
	Password string
}

// Store keeps registries. Every method is one transaction; what is missing, or
// another organization's, is fault.KindNotFound.
type Store interface {
	// InsertRegistry adds one. Errors: fault.KindConflict when the name is taken.
	InsertRegistry(ctx context.Context, r *Registry) error
	Registry(ctx context.Context, organizationID, id string) (*Registry, error)
	// Registries lists an organization's, by name; those of all with "".
	Registries(ctx context.Context, organizationID string) ([]*Registry, error)
	// UpdateRegistry reads one, lets change edit it and writes it back. Nothing
	// is written when change fails. Errors: change's; fault.KindConflict.
	UpdateRegistry(ctx context.Context, organizationID, id string, change func(*Registry) error) (*Registry, error)
	DeleteRegistry(ctx context.Context, organizationID, id string) error
}

// Sealer encrypts passwords for their place.
type Sealer interface {
	Seal(plain string, place ...string) string
	Open(sealed string, place ...string) (string, error)
}

// Tester asks a registry whether it knows a credential.
type Tester interface {
	// Test returns one sentence for people on why the credential does not
	// work, or "".
	Test(ctx context.Context, host string, c Credential) (warning string)
}
