package preview

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/opendaytona/daytona/internal/fault"
)

// How long a signed URL may be good for, and how many of a sandbox there may be.
const (
	DefaultLife = time.Minute
	MaxLife     = 30 * 24 * time.Hour
	maxSigned   = 1000
)

// anyPort is the one that clients ask for when all they want is a token for the
// toolbox.
const anyPort = 1

// Link names a port of a sandbox, and the token that opens all ports of it until
// it stops. That of ToolboxPort, and of anyPort where toolbox says that the caller
// may use it, opens the toolbox as well. Errors: fault of kind Invalid for the
// port; NotFound.
func (s *Service) Link(ctx context.Context, organizationID, idOrName string, port int, toolbox bool) (Name, string, error) {
	sb, err := s.find(ctx, organizationID, idOrName, port)
	if err != nil {
		return Name{}, "", err
	}
	token := s.token(sb)
	if toolbox && (port == ToolboxPort || port == anyPort) {
		token = s.toolboxToken(sb)
	}
	return Name{Port: port, Sandbox: sb.ID}, token, nil
}

// Sign makes a name of a port of a sandbox that needs no token besides, for the
// given life. Errors: fault of kind Invalid for the port or the life; NotFound;
// Quota when there are too many.
func (s *Service) Sign(ctx context.Context, organizationID, idOrName string, port int, life time.Duration) (Name, *Sandbox, error) {
	if life < time.Second || life > MaxLife {
		return Name{}, nil, fault.Invalid("expiresInSeconds", fmt.Sprintf("expiresInSeconds must be from 1 to %d.", MaxLife/time.Second))
	}
	if port == ToolboxPort {
		return Name{}, nil, fault.Invalid("port", "port 2280 is the toolbox, which no signed URL opens: use its preview link.")
	}
	sb, err := s.find(ctx, organizationID, idOrName, port)
	if err != nil {
		return Name{}, nil, err
	}
	secret := make([]byte, 16)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	// Host names know no capital letters.
	token := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret))
	now := s.Clock.Now()
	err = s.Store.InsertSignedPreview(ctx, Signed{Hash: hash(token), SandboxID: sb.ID, Port: port, ExpiresAt: now.Add(life)}, now, func(signed int) error {
		if signed >= maxSigned {
			return fault.Quota(fmt.Sprintf("Sandbox %s has the maximum of %d signed preview URLs: expire some, or create URLs that are valid for a shorter time.", sb.Name, signed))
		}
		return nil
	})
	return Name{Port: port, Token: token}, sb, err
}

// Expire ends a signed URL. Errors: fault of kind NotFound, also for one of
// another port or sandbox.
func (s *Service) Expire(ctx context.Context, organizationID, idOrName string, port int, token string) error {
	sb, err := s.find(ctx, organizationID, idOrName, port)
	if err != nil {
		return err
	}
	return s.Store.DeleteSignedPreview(ctx, Signed{Hash: hash(token), SandboxID: sb.ID, Port: port})
}

func (s *Service) find(ctx context.Context, organizationID, idOrName string, port int) (*Sandbox, error) {
	if port < 1 || port > 65535 {
		return nil, fault.Invalid("port", "port must be from 1 to 65535.")
	}
	return s.Sandboxes.Get(ctx, organizationID, idOrName)
}

// token is the one of a sandbox's ports until it stops.
func (s *Service) token(sb *Sandbox) string { return s.derive("preview", sb) }

// toolboxToken is another one, so that who is given a page to look at does not
// run commands.
func (s *Service) toolboxToken(sb *Sandbox) string { return s.derive("toolbox", sb) }

func (s *Service) derive(what string, sb *Sandbox) string {
	return base64.RawURLEncoding.EncodeToString(s.Secret.MAC(what, sb.ID+":"+strconv.Itoa(sb.Stops)))
}

// hash is what is kept of a signed URL's token. It has 128 random bits: nothing
// slower is needed.
func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
