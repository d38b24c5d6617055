package git

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

type authenticateRequest struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Host     string `json:"host"`
	Protocol string `json:"protocol"`
}

var (
	protocolName = lazy(`^[A-Za-z][A-Za-z0-9+.-]*$`)
	hostName     = lazy(`^[^/?#@\s]+$`)
)

// storeCredentials keeps credentials for later calls, and for whatever else runs
// in the sandbox: in plain text in the user's home. It is the one call that does.
func (s *Service) storeCredentials(w http.ResponseWriter, r *http.Request) error {
	var req authenticateRequest
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	if req.Host == "" {
		req.Host = "github.com"
	}
	if req.Protocol == "" {
		req.Protocol = "https"
	}
	switch {
	case req.Username == "" || req.Password == "":
		return wire.Bad("username and password are both needed")
	case strings.ContainsAny(req.Username+req.Password+req.Host+req.Protocol, "\r\n\x00"):
		return wire.Bad("username, password, host and protocol must not contain a line break or a NUL byte")
	case !protocolName().MatchString(req.Protocol):
		return wire.Bad("protocol %q is not one: write https or http", req.Protocol)
	case !hostName().MatchString(req.Host):
		return wire.Bad("host %q is not one: write it as github.com or git.example.com:8443", req.Host)
	}
	global, err := s.scope(r.Context(), "global", "")
	if err != nil {
		return err
	}
	defer global.unlock()
	known, err := s.run(r.Context(), command{args: []string{"config", "--global", "--get-all", "credential.helper"}})
	if err != nil {
		return err
	}
	defer known.Close()
	helpers, err := known.lines()
	if err != nil {
		return err
	}
	if !slices.Contains(helpers, "store") {
		if err := s.do(r.Context(), command{args: []string{"config", "--global", "--add", "credential.helper", "store"}}); err != nil {
			return err
		}
	}
	// By its standard input, which nobody else can read.
	return s.do(r.Context(), command{
		args:  []string{"credential-store", "store"},
		stdin: fmt.Sprintf("protocol=%s\nhost=%s\nusername=%s\npassword=%s\n\n", req.Protocol, req.Host, req.Username, req.Password),
	})
}
