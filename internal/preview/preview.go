// Package preview says how a port of a sandbox is reached from the web: the name
// that it has (name.go), who may come in (admit.go), and the links and signed
// URLs that people are given (service.go). It names the small interfaces it
// needs; package gateway carries the requests, and package server wires both.
package preview

import (
	"context"
	"time"

	"k8s.io/utils/clock"

	"github.com/opendaytona/daytona/internal/permission"
	"github.com/opendaytona/daytona/internal/signedtoken"
)

// Signed is a URL that opens one port of one sandbox to everybody who has it,
// until it expires.
type Signed struct {
	Hash      string // of its token, which is told only when it is made
	SandboxID string
	Port      int
	ExpiresAt time.Time
}

// Store keeps signed URLs. A missing one is fault.KindNotFound.
type Store interface {
	// InsertSignedPreview adds one if allow, given how many of the sandbox have
	// not expired at now, permits it, and forgets all that have. Errors: allow's;
	// fault.KindNotFound when the sandbox has gone.
	InsertSignedPreview(ctx context.Context, s Signed, now time.Time, allow func(signed int) error) error
	// SignedPreview finds by hash.
	SignedPreview(ctx context.Context, hash string) (Signed, error)
	// DeleteSignedPreview forgets the one of that hash, sandbox and port.
	DeleteSignedPreview(ctx context.Context, s Signed) error
}

// Sandbox is one, as far as its previews go.
type Sandbox struct {
	ID, Name       string
	OrganizationID string
	Public         bool
	Stops          int // how often it has stopped: its tokens end with each
}

// Sandboxes finds sandboxes. Errors: fault of kind NotFound.
type Sandboxes interface {
	// Get finds by id or name among the organization's.
	Get(ctx context.Context, organizationID, idOrName string) (*Sandbox, error)
	// Find finds by id whoever's it is.
	Find(ctx context.Context, id string) (*Sandbox, error)
}

// Key is a valid API key.
type Key interface {
	// Organization is the id of the one that it is for.
	Organization() string
	// Need checks that it has the permissions. Errors: fault of kind Forbidden.
	Need(permissions ...permission.Permission) error
}

// Keys tells whose API key a token is. Errors: fault of kind Unauthorized or
// Forbidden for none.
type Keys interface {
	Authenticate(ctx context.Context, token, organizationID string) (Key, error)
}

// Config is what a Service stands on.
type Config struct {
	Domain    Domain
	Store     Store
	Sandboxes Sandboxes
	Keys      Keys
	Secret    signedtoken.Key // tokens are derived from it
	Clock     clock.PassiveClock
}

// Service gives out links to ports and judges who comes by them.
type Service struct{ Config }

// NewService makes it.
func NewService(c Config) *Service { return &Service{c} }
