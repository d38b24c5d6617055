// Package fileurl has the signed URLs of files: who has one downloads or uploads
// one file of a sandbox, without an API key. Clients sign them themselves, with
// the sandbox's signing key, so the server keeps nothing of a URL; a rotation of
// the key ends all that were signed before. It names the small interface it
// needs; package gateway carries the requests, and package server wires both.
package fileurl

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"

	"k8s.io/utils/clock"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/signedtoken"
)

// Sandbox is one, as far as the URLs of its files go.
type Sandbox struct {
	ID   string
	Salt string // a rotation of its key replaces it; "" before the first
}

// Sandboxes finds sandboxes. Errors: fault of kind NotFound.
type Sandboxes interface {
	// Get finds by id or name among the organization's.
	Get(ctx context.Context, organizationID, idOrName string) (Sandbox, error)
	// Find finds by id whoever's it is.
	Find(ctx context.Context, id string) (Sandbox, error)
	// Salt gives one of the organization's a new salt.
	Salt(ctx context.Context, organizationID, idOrName string) (Sandbox, error)
}

// Service gives out signing keys and judges what was signed with them.
type Service struct {
	Sandboxes Sandboxes
	Secret    signedtoken.Key // keys are derived from it
	Clock     clock.PassiveClock
}

// Key is the signing key of a sandbox. Errors: fault of kind NotFound.
func (s *Service) Key(ctx context.Context, organizationID, idOrName string) (string, error) {
	sb, err := s.Sandboxes.Get(ctx, organizationID, idOrName)
	if err != nil {
		return "", err
	}
	return s.key(sb), nil
}

// Rotate replaces the signing key of a sandbox, which ends all URLs that were
// signed before, and returns the new one. Errors: fault of kind NotFound.
func (s *Service) Rotate(ctx context.Context, organizationID, idOrName string) (string, error) {
	sb, err := s.Sandboxes.Salt(ctx, organizationID, idOrName)
	if err != nil {
		return "", err
	}
	return s.key(sb), nil
}

// key is derived, so that the database has no secret.
func (s *Service) key(sb Sandbox) string {
	return base64.RawURLEncoding.EncodeToString(s.Secret.MAC("files", sb.ID+":"+sb.Salt))
}

// URL is what a signed URL says.
type URL struct {
	SandboxID string
	Method    string // GET downloads, POST uploads
	Path      string // of the file, as whoever signed it wrote it
	Expires   string // a second of Unix time, "0" for never
	Signature string
}

// The errors say as little to one who tries signatures as to one whose key was rotated.
var (
	errInvalid = fault.Unauthorized("This signed URL is not valid: its parts were changed, or the signing key of the sandbox was rotated; get a new one.")
	errExpired = fault.Unauthorized("This signed URL has expired: get a new one.")
)

// Admit decides whether a request with a signed URL may go on. Errors: fault of
// kind Invalid for a URL of no file; Unauthorized.
func (s *Service) Admit(ctx context.Context, u URL) error {
	if u.Path == "" {
		return fault.Invalid("path", "The signed URL has no path of a file.")
	}
	expires, err := strconv.ParseInt(u.Expires, 10, 64)
	if err != nil || expires < 0 || strconv.FormatInt(expires, 10) != u.Expires {
		return errInvalid
	}
	sb, err := s.Sandboxes.Find(ctx, u.SandboxID)
	if fault.Is(err, fault.KindNotFound) {
		return errInvalid
	}
	if err != nil {
		return err
	}
	if !hmac.Equal([]byte(Sign(s.key(sb), u.Method, u.Path, expires)), []byte(u.Signature)) {
		return errInvalid
	}
	if expires != 0 && s.Clock.Now().Unix() > expires {
		return errExpired
	}
	return nil
}

// Sign is the signature of a URL as the clients of the published API compute it.
func Sign(key, method, path string, expires int64) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte("v1:files:" + method + ":" + path + ":" + strconv.FormatInt(expires, 10)))
	return "v1_" + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
