package server

import (
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/opendaytona/daytona/internal/config"

	"github.com/opendaytona/daytona/internal/gateway"
	"github.com/opendaytona/daytona/internal/grant"
	"github.com/opendaytona/daytona/internal/httpapi"
	"github.com/opendaytona/daytona/internal/preview"
)

func (s *server) openPreviews() error {
	key, err := grant.LoadKey(s.Below(config.PreviewKeyName))
	if err != nil {
		return fmt.Errorf("key of the previews: %w", err)
	}
	s.previews = preview.NewService(preview.Config{
		Domain: s.PreviewDomain(), Store: s.db, Sandboxes: s.sandboxes, Keys: s.accounts, Secret: key, Clock: s.clock,
	})
	return nil
}

// toolboxURL is where a client that reaches the server at origin finds the
// toolboxes.
func (s *server) toolboxURL(origin string) string {
	if d := s.ToolboxDomain(); d != "" {
		origin = d.Toolbox(origin)
	}
	return origin + httpapi.ToolboxPath
}

func (s *server) previewProxy(toolbox *gateway.Toolbox) previewHosts {
	return exceptOwnHost{s.OwnHost(), gateway.NewPreview(gateway.PreviewConfig{
		Admission: s.previews, Domain: s.previews.Domain, Toolbox: toolbox, Dialer: s.engine, Touch: s.sandboxes.Touch, Log: s.log, CrossOrigin: gateway.CrossOrigin{Origins: s.CORSOrigins},
		Origin: func(r *http.Request) string { return httpapi.Origin(r, s.PublicURL) },
	})}
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
