package objectstore

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/versity/versitygw/auth"

	"github.com/opendaytona/daytona/internal/signedtoken"
)

// Credentials let an organization upload below its own prefix of Bucket, until
// they expire.
type Credentials struct {
	AccessKey, Secret, SessionToken string
	Expires                         time.Time
}

// credentialsLife is how long credentials are good.
const credentialsLife = time.Hour

// claims are what a session token says, sealed.
type claims struct {
	AccessKey      string    `json:"k"`
	OrganizationID string    `json:"o"`
	KeyHash        string    `json:"h"` // of the API key that asked for them
	Expires        time.Time `json:"e"`
}

var errToken = errors.New("the session token is not valid")

// sealer makes credentials and knows them again.
type sealer struct{ key signedtoken.Key }

// Place implements Contexts.
func (s *Store) Place() Place { return Place{Bucket: Bucket, Region: Region} }

// Access implements Contexts.
func (s *Store) Access(_ context.Context, organizationID, keyHash string) (Credentials, error) {
	return s.credentials(organizationID, keyHash), nil
}

func (s sealer) credentials(organizationID, keyHash string) Credentials {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	g := claims{AccessKey: "DTN" + strings.ToUpper(hex.EncodeToString(random[:])), OrganizationID: organizationID, KeyHash: keyHash, Expires: time.Now().Add(credentialsLife).UTC()}
	token := s.key.Seal("token", g)
	return Credentials{AccessKey: g.AccessKey, Secret: s.secret(token), SessionToken: token, Expires: g.Expires}
}

func (s sealer) secret(token string) string { return hex.EncodeToString(s.key.MAC("secret", token)) }

// claimsOf reads a session token of ours that has not expired.
func (s sealer) claimsOf(token string) (g claims, err error) {
	if err := s.key.Open("token", token, &g); err != nil {
		return claims{}, errToken
	}
	if time.Now().After(g.Expires) {
		return claims{}, errToken
	}
	return g, nil
}

// signer tells versitygw who signs with what. It implements auth.IAMService,
// whose other half is for accounts that are stored, and
// auth.SigningKeyProvider.
type signer struct{ sealer }

// DeriveSigningKey implements auth.SigningKeyProvider (AWS Signature Version 4,
// "Calculate signature").
func (s signer) DeriveSigningKey(access, token, date, region, service string) ([]byte, auth.Account, error) {
	g, err := s.claimsOf(token)
	if err != nil || g.AccessKey != access {
		return nil, auth.Account{}, auth.ErrInvalidSessionToken
	}
	key := []byte("AWS4" + s.secret(token))
	for _, part := range []string{date, region, service, "aws4_request"} {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	// The handler before it has decided what this request may do.
	return key, auth.Account{Access: access, Role: auth.RoleAdmin}, nil
}

// GetUserAccount implements auth.IAMService.
func (signer) GetUserAccount(string) (auth.Account, error) {
	return auth.Account{}, auth.ErrNoSuchUser
}

// ResolveAccounts implements auth.IAMService.
func (signer) ResolveAccounts(ids []string) ([]string, error) { return ids, nil }

// CreateAccount implements auth.IAMService.
func (signer) CreateAccount(auth.Account) error { return errors.ErrUnsupported }

// UpdateUserAccount implements auth.IAMService.
func (signer) UpdateUserAccount(string, auth.MutableProps) error { return errors.ErrUnsupported }

// DeleteUserAccount implements auth.IAMService.
func (signer) DeleteUserAccount(string) error { return errors.ErrUnsupported }

// ListUserAccounts implements auth.IAMService.
func (signer) ListUserAccounts() ([]auth.Account, error) { return nil, nil }

// Shutdown implements auth.IAMService.
func (signer) Shutdown() error { return nil }
