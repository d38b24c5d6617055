package daytona

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/opendaytona/daytona/api"
)

// GetPreviewLink tells where a port of the sandbox is on the web. Requests for
// the URL of a sandbox that is not public carry the token, which is good until
// the sandbox stops, as the header X-Daytona-Preview-Token, or an API key as
// Authorization: Bearer. Errors: ErrNotFound; ErrInvalid for the port.
func (s *Sandbox) GetPreviewLink(ctx context.Context, port int) (api.PortPreviewURL, error) {
	var link api.PortPreviewURL
	err := s.client.do(ctx, request{method: http.MethodGet, url: s.portPath(port, "preview-url")}, &link)
	return link, err
}

// CreateSignedPreviewURL makes a URL that opens a port of the sandbox to
// everybody who has it, for a time of seconds up to 30 days. Errors: ErrNotFound;
// ErrInvalid for the port or the time.
func (s *Sandbox) CreateSignedPreviewURL(ctx context.Context, port int, life time.Duration) (api.SignedPortPreviewURL, error) {
	var signed api.SignedPortPreviewURL
	route := s.portPath(port, fmt.Sprintf("signed-preview-url?expiresInSeconds=%d", life/time.Second))
	err := s.client.do(ctx, request{method: http.MethodGet, url: route}, &signed)
	return signed, err
}

// ExpireSignedPreviewURL ends a signed URL of the port, which its token names.
// Errors: ErrNotFound.
func (s *Sandbox) ExpireSignedPreviewURL(ctx context.Context, port int, token string) error {
	route := s.portPath(port, "signed-preview-url/"+url.PathEscape(token)+"/expire")
	return s.client.do(ctx, request{method: http.MethodPost, url: route}, nil)
}

// SetPublic opens the sandbox's previews to everybody, or closes them again.
func (s *Sandbox) SetPublic(ctx context.Context, public bool) error {
	return s.change(ctx, http.MethodPost, fmt.Sprintf("/public/%t", public))
}

// DialPort connects to a TCP port of the sandbox by way of the server, whatever
// protocol is spoken there; the program may listen on the sandbox's loopback. The
// connection ends when either side closes it, and counts as activity until then.
// ctx is for the dialing alone. Errors: ErrNotFound, also when nothing listens;
// ErrConflict when the sandbox is not started.
func (s *Sandbox) DialPort(ctx context.Context, port int) (io.ReadWriteCloser, error) {
	address, err := s.toolbox(ctx, fmt.Sprintf("/port/%d/connect", port))
	if err != nil {
		return nil, err
	}
	r := request{method: http.MethodGet, url: address, tunnel: true}
	resp, err := s.client.send(ctx, r)
	if err != nil {
		return nil, err
	}
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
		resp.Body.Close()
		return nil, &Error{
			StatusCode: resp.StatusCode, Code: "BAD_ANSWER", Method: r.method, URL: address,
			Message: "What stands before the server does not pass connections on: let it pass the Upgrade header.",
		}
	}
	return conn, nil
}

func (s *Sandbox) portPath(port int, rest string) string {
	return s.path(fmt.Sprintf("/ports/%d/%s", port, rest))
}
