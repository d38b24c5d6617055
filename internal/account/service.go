package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"k8s.io/utils/clock"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/permission"
	"github.com/opendaytona/daytona/internal/quota"
)

// Service authenticates requests and manages keys.
type Service struct {
	config Config
	cache  *lru.Cache[string, cached] // by hash

	mu        sync.Mutex
	used      map[string]time.Time             // by hash, not written yet
	requests  map[string]map[*request]struct{} // that go on, by the hash of a key of theirs
	deletions uint64                           // of keys; moves with each
}

// Config is what a Service stands on.
type Config struct {
	Store         Store
	Clock         clock.PassiveClock
	DefaultRegion string       // of new organizations
	Quota         quota.Limits // of every organization
	// DeactivateAfter is how long an unused snapshot stays active; 0 is for ever.
	DeactivateAfter time.Duration
}

type cached struct {
	until     time.Time
	principal Principal
	expires   *time.Time
}

// cacheFor bounds how long a key that another process deleted still works.
const cacheFor = 30 * time.Second

// NewService makes a service.
func NewService(c Config) *Service {
	cache, _ := lru.New[string, cached](4096) // fails for no size only
	return &Service{config: c, cache: cache}
}

// Quota is what each organization may use.
func (s *Service) Quota() quota.Limits { return s.config.Quota }

// HashKey is how a key is known at rest. Its values have 256 random bits, so a
// fast hash is enough: there is nothing to guess.
func HashKey(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}

// Authenticate tells whose key token is. organizationID is what the request
// asks to act in, "" for the key's own. Errors: fault of kind Unauthorized;
// Forbidden for another organization.
func (s *Service) Authenticate(ctx context.Context, token, organizationID string) (Principal, error) {
	if token == "" {
		return Principal{}, fault.Unauthorized("Authentication is required: send your API key as Authorization: Bearer KEY.")
	}
	hit, err := s.authenticate(ctx, HashKey(token))
	if err != nil {
		return Principal{}, err
	}
	if organizationID != "" && organizationID != hit.OrganizationID {
		return Principal{}, fault.Forbidden("ORGANIZATION_FORBIDDEN", "The API key belongs to another organization: drop the X-Daytona-Organization-ID header, or use a key of that organization.")
	}
	return hit, nil
}

// authenticate finds the key with the hash and ties the request of ctx to it.
func (s *Service) authenticate(ctx context.Context, hash string) (Principal, error) {
	for {
		s.mu.Lock()
		deletions := s.deletions
		s.mu.Unlock()
		hit, known := s.recent(hash)
		if !known {
			key, admin, err := s.config.Store.KeyByHash(ctx, hash)
			if fault.Is(err, fault.KindNotFound) {
				return Principal{}, fault.Unauthorized("The API key is not valid: check DAYTONA_API_KEY, or create a new key.")
			}
			if err != nil {
				return Principal{}, fmt.Errorf("authenticate: %w", err)
			}
			hit = cached{expires: key.ExpiresAt, principal: Principal{
				UserID: key.UserID, OrganizationID: key.OrganizationID,
				KeyHash: hash, KeyName: key.Name, Permissions: effective(key.Permissions, admin),
			}}
		}
		now := s.config.Clock.Now()
		if hit.expires != nil && !now.Before(*hit.expires) {
			return Principal{}, fault.Unauthorized("The API key has expired: create a new one.")
		}
		if s.begin(ctx, hash, hit, now, deletions) {
			return hit.principal, nil
		}
	}
}

// recent is what the store knew of a key not long ago.
func (s *Service) recent(hash string) (cached, bool) {
	hit, known := s.cache.Get(hash)
	return hit, known && s.config.Clock.Now().Before(hit.until)
}

// begin notes the use of a key and ties the request to it, unless a key was
// deleted after so many deletions: it may have been this one.
func (s *Service) begin(ctx context.Context, hash string, hit cached, now time.Time, deletions uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deletions != deletions {
		return false
	}
	if _, known := s.recent(hash); !known {
		hit.until = now.Add(cacheFor)
		s.cache.Add(hash, hit)
	}
	if s.used == nil {
		s.used = make(map[string]time.Time)
	}
	s.used[hash] = now
	s.hold(ctx, hash, hit.expires, now)
	return true
}

// Flush writes when keys were last used. The server calls it now and then, and
// at its end.
func (s *Service) Flush(ctx context.Context) error {
	s.mu.Lock()
	used := s.used
	s.used = nil
	s.mu.Unlock()
	if len(used) == 0 {
		return nil
	}
	if err := s.config.Store.TouchKeys(ctx, used); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		maps.Copy(used, s.used) // what came since is later
		s.used = used
		return fmt.Errorf("write the last use of %d keys: %w", len(used), err)
	}
	return nil
}

var keyNamePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9 _.\-@]{0,127}$`)

// CreateKey makes a key for the caller and returns its value, which is told
// only here. Permissions are published ones; additional is nil for those that go
// with them. Errors: fault of kind Invalid; Forbidden for a permission that the
// caller lacks; Conflict when the name is taken.
func (s *Service) CreateKey(ctx context.Context, by Principal, name string, permissions []permission.Permission, additional *[]permission.Permission, expires *time.Time) (*Key, string, error) {
	if !keyNamePattern.MatchString(name) {
		return nil, "", fault.Invalid("name", fmt.Sprintf("name %q is not valid: use 1 to 128 letters, digits, spaces and _ . - @, beginning with a letter or digit.", name))
	}
	permissions, err := granted(by, permissions, additional)
	if err != nil {
		return nil, "", err
	}
	now := s.config.Clock.Now()
	if expires != nil && !expires.After(now) {
		return nil, "", fault.Invalid("expiresAt", "expiresAt must be in the future.")
	}
	key, value := newKey(by.OrganizationID, by.UserID, name, permissions, now)
	key.ExpiresAt = expires
	if err := s.config.Store.InsertKey(ctx, key); err != nil {
		return nil, "", fmt.Errorf("create API key %q: %w", name, err)
	}
	return key, value, nil
}

func newKey(organizationID, userID, name string, permissions []permission.Permission, now time.Time) (*Key, string) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	value := "dtn_" + hex.EncodeToString(secret)
	return &Key{
		Hash: HashKey(value), Name: name, Masked: value[:6] + strings.Repeat("*", 12) + value[len(value)-4:],
		OrganizationID: organizationID, UserID: userID, Permissions: slices.Clone(permissions), CreatedAt: now,
	}, value
}

// Keys lists the caller's keys.
func (s *Service) Keys(ctx context.Context, by Principal) ([]*Key, error) {
	return s.config.Store.Keys(ctx, by.OrganizationID, by.UserID)
}

// Key finds one of the caller's keys. Errors: fault of kind NotFound.
func (s *Service) Key(ctx context.Context, by Principal, name string) (*Key, error) {
	keys, err := s.Keys(ctx, by)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if k.Name == name {
			return k, nil
		}
	}
	return nil, keyNotFound(name)
}

func keyNotFound(name string) error {
	return fault.NotFound("API_KEY_NOT_FOUND", fmt.Sprintf("API key %q does not exist.", name))
}

// DeleteKey ends a key at once, and the requests that go on with it. Errors: fault of kind NotFound; Forbidden for
// another user's key unless the caller's may manage the server.
func (s *Service) DeleteKey(ctx context.Context, by Principal, userID, name string) error {
	if userID != by.UserID && !by.Can(permission.ManageServer) {
		return fault.Forbidden("API_KEY_FORBIDDEN", "Only an administrator can delete another user's API key.")
	}
	key, err := s.config.Store.DeleteKey(ctx, by.OrganizationID, userID, name)
	if err != nil {
		return err
	}
	s.ended(key.Hash)
	return nil
}

// LocalKeyName names the key that Bootstrap makes.
const LocalKeyName = "local-admin"

// Bootstrap makes, where they are missing, an administrator with a personal
// organization, and a key named LocalKeyName. While the value kept of an
// earlier start still works, no key is made and the returned value is "". It
// may be repeated after any crash.
func (s *Service) Bootstrap(ctx context.Context, kept string) (value string, err error) {
	user, err := s.config.Store.Founder(ctx)
	if fault.Is(err, fault.KindNotFound) {
		user, err = s.found(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("bootstrap: %w", err)
	}
	if kept != "" {
		if _, err := s.Authenticate(ctx, kept, ""); err == nil {
			return "", nil
		}
	}
	organizations, err := s.config.Store.OrganizationsOf(ctx, user.ID)
	if err != nil {
		return "", fmt.Errorf("bootstrap: %w", err)
	}
	if len(organizations) == 0 {
		return "", fmt.Errorf("bootstrap: user %s has no organization", user.ID)
	}
	org := organizations[0].ID
	if old, err := s.config.Store.DeleteKey(ctx, org, user.ID, LocalKeyName); err == nil {
		s.ended(old.Hash)
	} else if !fault.Is(err, fault.KindNotFound) {
		return "", fmt.Errorf("bootstrap: replace the key: %w", err)
	}
	key, value := newKey(org, user.ID, LocalKeyName, AllPermissions(user.Admin), s.config.Clock.Now())
	if err := s.config.Store.InsertKey(ctx, key); err != nil {
		return "", fmt.Errorf("bootstrap: create the key: %w", err)
	}
	return value, nil
}

func (s *Service) found(ctx context.Context) (*User, error) {
	now := s.config.Clock.Now()
	u := &User{ID: uuid.NewString(), Name: "Administrator", Email: "admin@localhost", Admin: true, CreatedAt: now}
	o := s.newOrganization(uuid.NewString(), "Personal", u)
	o.Personal = true
	return u, s.config.Store.Found(ctx, u, o)
}

// User returns the caller. Errors: fault of kind NotFound.
func (s *Service) User(ctx context.Context, by Principal) (*User, error) {
	return s.config.Store.User(ctx, by.UserID)
}
