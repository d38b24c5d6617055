package server

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/opendaytona/daytona/internal/gateway"
	"github.com/opendaytona/daytona/internal/grant"
	"github.com/opendaytona/daytona/internal/httpapi"
	"github.com/opendaytona/daytona/internal/preview"
)

// localDomain needs no name server: browsers and curl take every name below it
// for this machine (RFC 6761, section 6.3).
const localDomain = preview.Domain("localhost")

func (s *server) openPreviews() error {
	key, err := grant.LoadKey(s.below(previewKeyName))
	if err != nil {
		return fmt.Errorf("key of the previews: %w", err)
	}
	s.previews = preview.NewService(preview.Config{
		Domain: s.previewDomain(), Store: s.db, Sandboxes: s.sandboxes, Keys: s.accounts, Secret: key, Clock: s.clock,
	})
	return nil
}

// previewDomain is the configured one, or where clients reach the server, if
// that has a name.
func (s *server) previewDomain() preview.Domain {
	if s.ProxyDomain != "" {
		return s.ProxyDomain
	}
	if d := preview.Domain(s.ownHost()); d.Valid() {
		return d
	}
	return localDomain
}

// toolboxDomain is below which the toolboxes have a host of their own, so that
// what a sandbox says is never the API's word. It needs names that clients find,
// as the operator promises by setting both; otherwise it is "", and they are at
// the API's.
func (s *server) toolboxDomain() preview.Domain {
	if s.ProxyDomain == "" || s.PublicURL == "" || s.ProxyDomain.IsToolbox(s.ownHost()) {
		return ""
	}
	return s.ProxyDomain
}

// toolboxURL is where a client that reaches the server at origin finds the
// toolboxes.
func (s *server) toolboxURL(origin string) string {
	if d := s.toolboxDomain(); d != "" {
		origin = d.Toolbox(origin)
	}
	return origin + httpapi.ToolboxPath
}

func (s *server) previewProxy(toolbox *gateway.Toolbox) previewHosts {
	return exceptOwnHost{s.ownHost(), gateway.NewPreview(gateway.PreviewConfig{
		Admission: s.previews, Domain: s.previews.Domain, Toolbox: toolbox, Dialer: s.engine, Touch: s.sandboxes.Touch, Log: s.log, CrossOrigin: gateway.CrossOrigin{Origins: s.CORSOrigins},
		Origin: func(r *http.Request) string { return httpapi.Origin(r, s.PublicURL) },
	})}
}

// ownHost is that of the public URL, which may be below the previews' domain.
func (s *server) ownHost() string {
	u, err := url.Parse(s.PublicURL)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// exceptOwnHost keeps a host from being taken for a preview's.
type exceptOwnHost struct {
	host string
	previewHosts
}

// Serves implements previewHosts.
func (e exceptOwnHost) Serves(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	return (name == "" || !strings.EqualFold(name, e.host)) && e.previewHosts.Serves(host)
}
