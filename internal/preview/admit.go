package preview

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/permission"
)

// ToolboxPort is the one at whose preview the toolbox of a sandbox is, whatever
// listens there.
const ToolboxPort = 2280

// TerminalPort is the one at whose preview official servers have a terminal.
const TerminalPort = 22222

// guarded are the ports that a public sandbox does not open: those of the
// toolbox, and as published of a terminal and of recordings of the desktop.
var guarded = []int{ToolboxPort, TerminalPort, 33333}

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
	if n.Port == ToolboxPort {
		if n.Token != "" {
			return Admitted{}, fault.Unauthorized("No signed preview URL opens a toolbox: use the preview link of port 2280, or an API key.")
		}
		return s.AdmitToolbox(ctx, n.Sandbox, c)
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
	if sb.Public && !slices.Contains(guarded, n.Port) {
		return admitted, nil
	}
	need := key.may(sb, permission.UsePreviews)
	tokens := []string{s.token(sb), s.toolboxToken(sb)}
	if need == nil || oneOf(tokens, c.Tokens) {
		return admitted, nil
	}
	if oneOf(tokens, c.Cookies) {
		admitted.ByCookie = true
		return admitted, nil
	}
	if !errors.Is(need, errNotOurs) {
		return Admitted{}, need
	}
	if len(c.Tokens)+len(c.Cookies) > 0 {
		return Admitted{}, fault.Unauthorized("The preview token is not valid: it ends when the sandbox stops; get a new preview link.")
	}
	return Admitted{}, fault.Unauthorized("This preview is private: send the token of its link as X-Daytona-Preview-Token or an API key as Authorization: Bearer KEY, or open a signed preview URL.")
}

// AdmitToolbox decides the same for a request that brings its credentials for the
// toolbox of a sandbox: by the token of a link to it, or an API key that may use
// it. Cookies count for nothing, and neither does it that the sandbox is public.
func (s *Service) AdmitToolbox(ctx context.Context, sandboxID string, c Credentials) (Admitted, error) {
	key, err := s.keyOf(ctx, c.Bearer)
	if err != nil {
		return Admitted{}, err
	}
	sb, err := s.Sandboxes.Find(ctx, sandboxID)
	if err != nil {
		return Admitted{}, err
	}
	if oneOf([]string{s.toolboxToken(sb)}, c.Tokens) {
		return Admitted{SandboxID: sb.ID, OurKey: key.valid}, nil
	}
	err = key.may(sb, permission.UseToolbox)
	if errors.Is(err, errNotOurs) {
		err = fault.Unauthorized("The toolbox is private: send the token of the preview link of port 2280 as X-Daytona-Preview-Token, or an API key as Authorization: Bearer KEY.")
	}
	if err != nil {
		return Admitted{}, err
	}
	return Admitted{SandboxID: sb.ID, OurKey: true}, nil
}

// oneOf reports whether one of the right tokens is among those.
func oneOf(right, among []string) bool {
	for _, r := range right {
		for _, t := range among {
			if subtle.ConstantTimeCompare([]byte(t), []byte(r)) == 1 {
				return true
			}
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
	valid bool
	Key
}

// errNotOurs is a key of another organization, or none.
var errNotOurs = errors.New("the key is not of the sandbox's organization")

// may tells what the key lacks to do something with a sandbox. Errors:
// errNotOurs; fault of kind Forbidden.
func (k apiKey) may(sb *Sandbox, what permission.Permission) error {
	if !k.valid || k.Organization() != sb.OrganizationID {
		return errNotOurs
	}
	return k.Need(what)
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
	return apiKey{true, p}, nil
}
