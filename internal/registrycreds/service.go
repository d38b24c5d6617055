package registrycreds

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"k8s.io/utils/clock"

	"github.com/opendaytona/daytona/internal/fault"
)

// Service keeps organizations' registries.
type Service struct {
	Store  Store
	Sealer Sealer
	Tester Tester
	Clock  clock.PassiveClock
	Log    *slog.Logger
}

// testTimeout is how long a registry may take to say whether it knows a
// credential.
const testTimeout = 5 * time.Second

// What an entry may have.
const (
	maxName     = 255
	maxURL      = 1024
	maxUsername = 1024
	maxPassword = 64 << 10 // keys of service accounts are JSON
)

// Params are an entry's fields; nil leaves one as it is.
type Params struct {
	Name     *string
	URL      *string
	Username *string
	Password *string
	Project  *string
}

// Create adds an entry and tries it: a warning says why it does not work now,
// and it is kept all the same. Errors: fault of kind Invalid, Conflict (name
// taken).
func (s *Service) Create(ctx context.Context, organizationID string, p Params) (r *Registry, warning string, err error) {
	r = &Registry{ID: uuid.NewString(), OrganizationID: organizationID}
	if p.Password == nil || *p.Password == "" {
		return nil, "", fault.Invalid("password", "The registry's password is empty: give the password or token of its user.")
	}
	if err := s.set(r, p); err != nil {
		return nil, "", err
	}
	r.CreatedAt = r.UpdatedAt
	if err := s.Store.InsertRegistry(ctx, r); err != nil {
		return nil, "", fmt.Errorf("create registry %q: %w", r.Name, err)
	}
	return r, s.test(ctx, r), nil
}

// Update changes what p names and tries the entry. An empty password leaves it
// as it is. Pulls use what is new from their next request on. Errors: fault of
// kind Invalid, NotFound, Conflict (name taken).
func (s *Service) Update(ctx context.Context, organizationID, id string, p Params) (r *Registry, warning string, err error) {
	r, err = s.Store.UpdateRegistry(ctx, organizationID, id, func(r *Registry) error { return s.set(r, p) })
	if err != nil {
		return nil, "", fmt.Errorf("update registry %s: %w", id, err)
	}
	return r, s.test(ctx, r), nil
}

// Get finds one. Errors: fault of kind NotFound.
func (s *Service) Get(ctx context.Context, organizationID, id string) (*Registry, error) {
	return s.Store.Registry(ctx, organizationID, id)
}

// List returns all of an organization, by name.
func (s *Service) List(ctx context.Context, organizationID string) ([]*Registry, error) {
	return s.Store.Registries(ctx, organizationID)
}

// Delete forgets one. Images that were pulled by it stay. Errors: fault of kind
// NotFound.
func (s *Service) Delete(ctx context.Context, organizationID, id string) error {
	return s.Store.DeleteRegistry(ctx, organizationID, id)
}

// Credential opens the entry for a repository; nil is none. The host is as in
// image references. Errors: fault of kind Conflict when its password cannot be
// decrypted.
func (s *Service) Credential(ctx context.Context, organizationID, host, repository string) (*Credential, error) {
	all, err := s.Store.Registries(ctx, organizationID)
	if err != nil {
		return nil, err
	}
	r := match(all, host, repository)
	if r == nil {
		return nil, nil
	}
	c, err := s.open(r)
	return &c, err
}

// Verify logs which passwords cannot be decrypted, as with a wrong key.
func (s *Service) Verify(ctx context.Context) error {
	all, err := s.Store.Registries(ctx, "")
	if err != nil {
		return fmt.Errorf("verify registries: %w", err)
	}
	for _, r := range all {
		if _, err := s.open(r); err != nil {
			s.Log.Error("the password of a registry cannot be decrypted: start the server with the encryption key it had, or give the password again", "registry", r.Name, "organization", r.OrganizationID, "err", errors.Unwrap(err))
		}
	}
	return nil
}

// set changes the fields that are named and checks them all. A password is
// never sent to another host than the one that it was given for.
func (s *Service) set(r *Registry, p Params) error {
	old, _ := parseAddress(r.URL, r.Project)
	for _, f := range []struct{ to, value *string }{{&r.Name, p.Name}, {&r.URL, p.URL}, {&r.Username, p.Username}, {&r.Project, p.Project}} {
		if f.value != nil {
			*f.to = strings.TrimSpace(*f.value)
		}
	}
	if err := r.validate(); err != nil {
		return err
	}
	now, err := parseAddress(r.URL, r.Project)
	if err != nil {
		return err
	}
	switch {
	case p.Password != nil && *p.Password != "":
		if len(*p.Password) > maxPassword {
			return fault.Invalid("password", fmt.Sprintf("The registry's password is longer than %d bytes.", maxPassword))
		}
		r.Password = s.Sealer.Seal(*p.Password, r.place(now)...)
	case now.host != old.host:
		return fault.Invalid("password", fmt.Sprintf("Changing the registry from %s to %s requires the password, because a password is sent only to the registry that it was set for.", old.host, now.host))
	}
	r.UpdatedAt = s.Clock.Now()
	return nil
}

func (r *Registry) validate() error {
	switch {
	case r.Name == "" || len(r.Name) > maxName || strings.ContainsFunc(r.Name, unicode.IsControl):
		return fault.Invalid("name", fmt.Sprintf("A registry's name has 1 to %d characters, on one line.", maxName))
	case len(r.URL) > maxURL || len(r.Project) > maxURL:
		return fault.Invalid("url", fmt.Sprintf("A registry's URL and project have at most %d characters.", maxURL))
	case r.Username == "" || len(r.Username) > maxUsername || strings.ContainsFunc(r.Username, unicode.IsControl) || strings.Contains(r.Username, ":"):
		return fault.Invalid("username", fmt.Sprintf("A registry's user name has 1 to %d characters, on one line and without a colon.", maxUsername))
	}
	return nil
}

// place is where a sealed password belongs.
func (r *Registry) place(a address) []string {
	return []string{"docker_registries", "password", r.OrganizationID, r.ID, a.host}
}

func (s *Service) open(r *Registry) (Credential, error) {
	a, err := parseAddress(r.URL, r.Project)
	if err != nil {
		return Credential{}, err
	}
	password, err := s.Sealer.Open(r.Password, r.place(a)...)
	if err != nil {
		return Credential{}, &fault.Error{
			Kind: fault.KindConflict, Code: "REGISTRY_PASSWORD_SEALED", Err: err,
			Message: fmt.Sprintf("The password of registry %q cannot be decrypted (%v): start the server with its previous encryption key, or set the password again with daytona registry update.", r.Name, err),
		}
	}
	return Credential{Entry: r.Name, Username: r.Username, Password: password}, nil
}

// test tries the entry for a short time. A client that leaves gets no warning.
func (s *Service) test(ctx context.Context, r *Registry) (warning string) {
	c, err := s.open(r)
	if err != nil {
		var f *fault.Error
		errors.As(err, &f) // open's are all of this type
		return f.Message
	}
	a, _ := parseAddress(r.URL, r.Project) // open has read it
	trial, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	warning = s.Tester.Test(trial, a.host, c)
	if warning != "" && ctx.Err() == nil {
		s.Log.Warn("a registry's credentials do not work", "registry", r.Name, "host", a.host, "organization", r.OrganizationID, "warning", warning)
	}
	return warning
}
