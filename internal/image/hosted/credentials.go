package hosted

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/opendaytona/daytona/internal/fault"
)

// Access lets an organization push to and pull from its own project, until it
// expires.
type Access struct {
	Username, Secret string
	Project          string
	Expires          time.Time
}

const (
	// username means nothing: who somebody is, is in the secret.
	username = "daytona"

	// accessLife is how long an access is good. No push outlives it, so content
	// that nobody has touched for as long is not part of one.
	accessLife = time.Hour

	purpose = "push"
)

// claims are what a secret says, sealed.
type claims struct {
	OrganizationID string    `json:"o"`
	KeyHash        string    `json:"h"` // of the API key that asked for it
	Expires        time.Time `json:"e"`
}

// Access makes one for the organization, good no longer than the API key with the
// hash, whose holder asks for it.
func (r *Registry) Access(organizationID, keyHash string) Access {
	c := claims{OrganizationID: organizationID, KeyHash: keyHash, Expires: time.Now().Add(accessLife).UTC().Truncate(time.Second)}
	return Access{Username: username, Secret: r.key.Seal(purpose, c), Project: organizationID, Expires: c.Expires}
}

// caller is what the request's credentials say: a secret is good as a password
// and as a bearer token. Reasons are for people.
func (r *Registry) caller(q *http.Request) (c claims, reason string) {
	if _, secret, ok := q.BasicAuth(); ok {
		return r.claimsOf(q.Context(), secret)
	}
	if token, ok := strings.CutPrefix(q.Header.Get("Authorization"), "Bearer "); ok {
		return r.claimsOf(q.Context(), token)
	}
	return c, "credentials are needed: ask for them at /api/docker-registry/registry-push-access, or use daytona snapshot push"
}

func (r *Registry) claimsOf(ctx context.Context, secret string) (c claims, reason string) {
	switch err := r.key.Open(purpose, secret, &c); {
	case err != nil:
		return claims{}, "the secret is not valid: ask for another at /api/docker-registry/registry-push-access"
	case time.Now().After(c.Expires):
		return claims{}, "the secret expired at " + c.Expires.Format(time.RFC3339) + ": ask for another at /api/docker-registry/registry-push-access"
	}
	if err := r.Continue(ctx, c.KeyHash); err != nil {
		if f, ok := errors.AsType[*fault.Error](err); ok {
			return claims{}, f.Message
		}
		r.Log.Error("look at the key of a push", "err", err)
		return claims{}, "the registry does not work; the server's log tells why"
	}
	return c, ""
}
