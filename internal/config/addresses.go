package config

import (
	"net/url"
	"strings"

	"github.com/opendaytona/daytona/internal/preview"
)

// localDomain needs no name server: browsers and curl take every name below it
// for this machine (RFC 6761, section 6.3).
const localDomain = preview.Domain("localhost")

// PreviewDomain is the configured one, or where clients reach the server, if
// that has a name.
func (c Config) PreviewDomain() preview.Domain {
	if c.ProxyDomain != "" {
		return c.ProxyDomain
	}
	if d := preview.Domain(c.OwnHost()); d.Valid() {
		return d
	}
	return localDomain
}

// ToolboxDomain is below which the toolboxes have a host of their own, so that
// what a sandbox says is never the API's word. It needs names that clients find,
// as the operator promises by setting both; otherwise it is "", and they are at
// the API's.
func (c Config) ToolboxDomain() preview.Domain {
	if c.ProxyDomain == "" || c.PublicURL == "" || c.ProxyDomain.IsToolbox(c.OwnHost()) {
		return ""
	}
	return c.ProxyDomain
}

// OwnHost is that of the public URL, which may be below the previews' domain.
func (c Config) OwnHost() string {
	u, err := url.Parse(c.PublicURL)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}
