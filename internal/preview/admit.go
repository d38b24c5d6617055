package preview

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/fault"
)

// Credentials are what a request brings besides its host.
type Credentials struct {
	Tokens  []string // by header or query
	Cookies []string // likewise; a browser sends them whichever page asks
	Bearer  string   // of Authorization, "" for none
}

// Admitted is a request that may go on.
type Admitted struct {
	SandboxID string
	// OurKey says that Bearer is an API key of this server, which is no
	// application's to see, whoever it belongs to.
	OurKey bool
	// ByCookie says that nothing but a cookie let it in.
	ByCookie bool
}

// Admit decides whether a request for a preview may go on: those for a signed
// URL, a public sandbox, and with its token or an API key of its organization
// that may open previews. Errors: fault of kind NotFound for a sandbox that is
// not there; Unauthorized; Forbidden for a key that may not.
func (s *Service) Admit(ctx context.Context, n Name, c Credentials) (Admitted, error) {
	key, err := s.keyOf(ctx, c.Bearer)
	if err != nil {
		return Admitted{}, err
	}
	if n.Token != "" {
		id, err := s.signed(ctx, n)
		return Admitted{SandboxID: id, OurKey: key.valid}, err
	}
	sb, err := s.Sandboxes.Find(ctx, n.Sandbox)
	if err != nil {
		return Admitted{}, err
	}
	admitted := Admitted{SandboxID: sb.ID, OurKey: key.valid}
	ours := key.valid && key.organization == sb.OrganizationID
	if sb.Public || ours && key.need == nil {
		return admitted, nil
	}
	token := s.token(sb)
	if admitted.ByCookie = !oneIs(token, c.Tokens); !admitted.ByCookie || oneIs(token, c.Cookies) {
		return admitted, nil
	}
	if ours {
		return Admitted{}, key.need
	}
	if len(c.Tokens)+len(c.Cookies) > 0 {
		return Admitted{}, fault.Unauthorized("The preview token is not valid: it ends when the sandbox stops; get a new preview link.")
	}
	return Admitted{}, fault.Unauthorized("This preview is private: send the token of its link as X-Daytona-Preview-Token or an API key as Authorization: Bearer KEY, or open a signed preview URL.")
}

// oneIs reports whether a token is among those.
func oneIs(token string, among []string) bool {
	for _, t := range among {
		if subtle.ConstantTimeCompare([]byte(t), []byte(token)) == 1 {
			return true
		}
	}
	return false
}

// signed finds the sandbox of a signed URL.
func (s *Service) signed(ctx context.Context, n Name) (string, error) {
	found, err := s.Store.SignedPreview(ctx, hash(n.Token))
	if err == nil && (found.Port != n.Port || !s.Clock.Now().Before(found.ExpiresAt)) {
		err = fault.NotFound("", "")
	}
	if err == nil {
		_, err = s.Sandboxes.Find(ctx, found.SandboxID)
	}
	if fault.Is(err, fault.KindNotFound) {
		return "", fault.Unauthorized("This signed preview URL has expired, or never was: get a new one.")
	}
	return found.SandboxID, err
}

type apiKey struct {
	valid        bool
	organization string
	need         error // what it lacks to open previews
}

// keyOf tells what API key a bearer token is. Applications have such tokens of
// their own.
func (s *Service) keyOf(ctx context.Context, bearer string) (apiKey, error) {
	if bearer == "" {
		return apiKey{}, nil
	}
	p, err := s.Keys.Authenticate(ctx, bearer, "")
	var f *fault.Error
	if errors.As(err, &f) && (f.Kind == fault.KindUnauthorized || f.Kind == fault.KindForbidden) {
		return apiKey{}, nil
	}
	if err != nil {
		return apiKey{}, fmt.Errorf("look at the bearer token of a preview's request: %w", err)
	}
	return apiKey{true, p.OrganizationID, p.Need(api.UsePreviews)}, nil
}
