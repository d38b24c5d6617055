// Package account says who may do what: users, the organizations that own
// sandboxes and snapshots, API keys with their permissions, and quotas. Here
// live their types, the service that authenticates and manages keys, and the
// checks of quotas. It names the Store it needs; package store implements it.
package account

import (
	"context"
	"time"

	"github.com/opendaytona/daytona/internal/permission"
)

// User is a person, or the administrator that the first start makes.
type User struct {
	ID        string
	Name      string
	Email     string
	Admin     bool // may change what all organizations share
	CreatedAt time.Time
}

// Organization owns sandboxes and snapshots.
type Organization struct {
	ID            string
	Name          string
	CreatedBy     string // user id
	Personal      bool
	DefaultRegion string
	LimitedEgress bool // sandboxes that say nothing of the network get the server's limited one
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// Role is what a user is in an organization.
type Role string

// The roles.
const (
	RoleOwner  Role = "owner"
	RoleMember Role = "member"
)

// Key is an API key as it is kept: its value is known by hash only.
type Key struct {
	Hash           string // hexadecimal SHA-256 of the value
	Name           string // unique for its user and organization
	Masked         string // what of the value may be shown
	OrganizationID string
	UserID         string
	Permissions    []permission.Permission // published and additional ones
	CreatedAt      time.Time
	LastUsedAt     *time.Time
	ExpiresAt      *time.Time
}

// Principal is who makes a request, after authentication.
type Principal struct {
	UserID         string
	OrganizationID string
	KeyHash        string
	KeyName        string
	Permissions    []permission.Permission
}

type principalKey struct{}

// WithPrincipal returns a context that carries p.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// FromContext returns who makes the request of ctx; ok is false for nobody.
func FromContext(ctx context.Context) (p Principal, ok bool) {
	p, ok = ctx.Value(principalKey{}).(Principal)
	return p, ok
}

// Store keeps users, organizations and keys. Every method is one transaction;
// what is missing is fault.KindNotFound.
type Store interface {
	Organizations
	Keys
}

// Organizations keeps organizations and their users.
type Organizations interface {
	// Founder is the first user, who administers the server.
	Founder(ctx context.Context) (*User, error)
	User(ctx context.Context, id string) (*User, error)
	Organization(ctx context.Context, id string) (*Organization, error)
	// OrganizationsOf lists those that the user is in, the oldest first.
	OrganizationsOf(ctx context.Context, userID string) ([]*Organization, error)
	// SetLimitedEgress sets that of an organization.
	SetLimitedEgress(ctx context.Context, organizationID string, limited bool) error
	// Organizations lists all, the oldest first.
	Organizations(ctx context.Context) ([]*Organization, error)
	// Found writes a user, the organization that they own, and their first keys.
	// Errors: fault.KindConflict when an organization has the name.
	Found(ctx context.Context, u *User, o *Organization, keys ...*Key) error
	// DeleteOrganization removes an organization with its members, keys, registries
	// and warm pools, and the users who are in no other. Errors: fault.KindConflict
	// while it has sandboxes or snapshots.
	DeleteOrganization(ctx context.Context, id string) error
}

// Keys keeps API keys.
type Keys interface {
	// InsertKey adds a key. Errors: fault.KindConflict when the name is taken.
	InsertKey(ctx context.Context, k *Key) error
	// KeyByHash also tells whether its user is an administrator.
	KeyByHash(ctx context.Context, hash string) (k *Key, admin bool, err error)
	Keys(ctx context.Context, organizationID, userID string) ([]*Key, error)
	// DeleteKey removes a key and returns it.
	DeleteKey(ctx context.Context, organizationID, userID, name string) (*Key, error)
	// DeleteKeys removes the keys of an organization and returns their hashes.
	DeleteKeys(ctx context.Context, organizationID string) ([]string, error)
	// TouchKeys moves LastUsedAt of each hash to its time.
	TouchKeys(ctx context.Context, at map[string]time.Time) error
}
