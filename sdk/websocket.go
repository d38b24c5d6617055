package daytona

import (
	"context"
	"net/http"
	"strings"

	"github.com/coder/websocket"
)

// webSocket opens a WebSocket of the sandbox's toolbox, and returns the address that
// it has for errors. ctx ends the connection.
func (s *Sandbox) webSocket(ctx context.Context, route string, subprotocols ...string) (*websocket.Conn, string, error) {
	address, err := s.toolbox(ctx, route)
	if err != nil {
		return nil, "", err
	}
	header := http.Header{}
	s.client.authorize(header)
	conn, resp, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(address, "http"), &websocket.DialOptions{
		HTTPClient: s.client.config.HTTPClient, HTTPHeader: header, Subprotocols: subprotocols,
	})
	if err != nil {
		if resp != nil && resp.StatusCode >= 300 && resp.Body != nil {
			return nil, "", readError(resp)
		}
		return nil, "", s.client.failed(ctx, request{method: http.MethodGet, url: address}, err)
	}
	conn.SetReadLimit(-1)
	return conn, address, nil
}
