package web

import (
	"net"
	"strings"
)

// exceptOwnHost keeps a host from being taken for a preview's.
type exceptOwnHost struct {
	host string
	PreviewHosts
}

// Serves implements PreviewHosts.
func (e exceptOwnHost) Serves(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	return (name == "" || !strings.EqualFold(name, e.host)) && e.PreviewHosts.Serves(host)
}
