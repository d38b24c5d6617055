// Package gateway stands between the user and a sandbox. Toolbox passes requests
// on to the agent of a sandbox over its unix socket, both ways as a stream;
// Preview (preview.go) passes them on to what listens on a port of it, by a
// tunnel through the agent (tunnel.go). It names the small interfaces it needs;
// package server wires them.
package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/httperror"
	"github.com/opendaytona/daytona/internal/preview"
	"github.com/opendaytona/daytona/internal/toolbox/boot"
)

// Authorizer decides who may reach a sandbox.
type Authorizer interface {
	// AuthorizeToolbox returns the id of the sandbox when the request's
	// credential reaches it. Errors: faults.
	AuthorizeToolbox(ctx context.Context, authorization, organization, sandboxIDOrName string) (id string, err error)
}

// Tokens decides the same by a token, which is no API key.
type Tokens interface {
	AdmitToolbox(ctx context.Context, sandboxID string, c preview.Credentials) (preview.Admitted, error)
}

// Dialer connects to the agent of a running sandbox.
type Dialer interface {
	Dial(ctx context.Context, id string) (net.Conn, error)
}

// Inspector tells what is there of a sandbox.
type Inspector interface {
	Inspect(ctx context.Context, id string) (engine.Status, error)
}

// Config is what a Toolbox stands on.
type Config struct {
	Authorizer Authorizer
	Tokens     Tokens
	FileURLs   FileURLs
	Dialer     Dialer
	Inspector  Inspector
	Touch      Touch
	Log        *slog.Logger
}

// Toolbox is the proxy at {prefix}/{sandboxId}/{route of the agent}. It is
// mounted behind http.StripPrefix.
type Toolbox struct {
	Config
	proxy httputil.ReverseProxy
}

// New makes the proxy.
func New(c Config) *Toolbox {
	t := &Toolbox{Config: c}
	t.proxy = httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			// The agent trusts whoever reaches its socket: it must not see what
			// would let a sandbox act as the user.
			for _, secret := range []string{"Authorization", "Cookie", "X-Daytona-Organization-Id", tokenHeader} {
				r.Out.Header.Del(secret)
			}
			r.SetXForwarded()
		},
		FlushInterval: -1,
		ErrorHandler:  t.failed,
		Transport: distrusting{confine: confineToolbox, RoundTripper: &http.Transport{
			DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
				id, _, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				return c.Dialer.Dial(ctx, id)
			},
			MaxIdleConnsPerHost:    4,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: maxToolboxHeaders,
			DisableCompression:     true,
		}},
	}
	return t
}

// ServeHTTP implements http.Handler for /{sandboxId}/{route…}.
func (t *Toolbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, route, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	path, err := url.PathUnescape(route)
	if err == nil {
		name, err = url.PathUnescape(name)
	}
	if err != nil || name == "" {
		t.refuse(w, r, fault.Invalid("", "The path is not valid: use the form /toolbox/SANDBOX/ROUTE."))
		return
	}
	id, err := t.authorize(r, name, route)
	if err != nil {
		t.refuse(w, r, err)
		return
	}
	t.forward(w, r, id, "/"+path, "/"+route)
}

// authorize is for a key, or for a token where there is none: pages cannot give
// their WebSockets headers; or for a signed URL. It takes tokens and signatures
// out of the request.
func (t *Toolbox) authorize(r *http.Request, name, route string) (id string, err error) {
	if isFileURL(r, route) {
		takeQuery(r.URL)
		return name, t.admitFileURL(r, name)
	}
	tokens := []string{takeQuery(r.URL), r.Header.Get(tokenHeader)}
	tokens = slices.DeleteFunc(tokens, func(token string) bool { return token == "" })
	if authorization := r.Header.Get("Authorization"); authorization != "" || len(tokens) == 0 {
		return t.Authorizer.AuthorizeToolbox(r.Context(), authorization, r.Header.Get("X-Daytona-Organization-ID"), name)
	}
	admitted, err := t.Tokens.AdmitToolbox(r.Context(), name, preview.Credentials{Tokens: tokens})
	return admitted.SandboxID, err
}

// forward passes a request that may be made on to the agent's route.
func (t *Toolbox) forward(w http.ResponseWriter, r *http.Request, id, path, escaped string) {
	defer t.Touch.during(id)()
	out, end := streamBothWays(w, r, t.Log)
	defer end()
	t.tellDisk(out, id, path)
	out.URL = &url.URL{Scheme: "http", Host: id, Path: path, RawPath: escaped, RawQuery: r.URL.RawQuery}
	t.proxy.ServeHTTP(w, out)
}

// tellDisk adds to a request for a sandbox's metrics what only the host sees.
// The headers are never the client's.
func (t *Toolbox) tellDisk(out *http.Request, id, path string) {
	out.Header.Del(boot.DiskLimit)
	out.Header.Del(boot.DiskUsed)
	if path != "/system/metrics" {
		return
	}
	st, err := t.Inspector.Inspect(out.Context(), id)
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		t.Log.Warn("toolbox: the use of a disk is not known", "sandbox", id, "err", err)
	}
	if err != nil || st.DiskLimit == 0 {
		return
	}
	out.Header.Set(boot.DiskLimit, strconv.FormatInt(st.DiskLimit, 10))
	out.Header.Set(boot.DiskUsed, strconv.FormatInt(st.DiskUsed, 10))
}

// errSlowBody is for a client that stopped sending.
var errSlowBody = fault.Timeout("The request body stopped arriving: send the request again without long pauses.")

// failed answers for an agent that could not be reached.
func (t *Toolbox) failed(w http.ResponseWriter, r *http.Request, err error) {
	ended := fault.Ended(r.Context())
	switch {
	case ended != nil:
		err = ended
	case r.Context().Err() != nil:
		return // the client has gone
	case errors.Is(err, engine.ErrNotRunning), errors.Is(err, engine.ErrNotFound):
		err = fault.Conflict("SANDBOX_NOT_STARTED", "The sandbox is not started: start it first.")
	case errors.Is(err, os.ErrDeadlineExceeded): // agents and applications have none
		err = errSlowBody
	case errors.Is(err, errDistrusted):
		t.Log.Warn("toolbox of a sandbox", "sandbox", r.URL.Host, "err", err)
		err = fault.NoAnswer("TOOLBOX_DISTRUSTED", "The sandbox sent a response that its toolbox never sends, such as a redirect: a program in it has replaced the toolbox. Do not trust the sandbox; delete it.")
	default:
		t.Log.Log(r.Context(), seriousness(err), "toolbox of a sandbox", "sandbox", r.URL.Host, "err", err)
		err = fault.Unavailable("TOOLBOX_UNREACHABLE", "The sandbox does not answer: try again, or stop and start it.")
	}
	t.refuse(w, r, err)
}

// seriousness is the level at which the log has an agent that could not be
// reached: one whose sandbox ends, or that was killed in it, breaks off, which is
// no failure of the server's.
func seriousness(err error) slog.Level {
	for _, broken := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, unix.ECONNRESET, unix.EPIPE, unix.ECONNREFUSED} {
		if errors.Is(err, broken) {
			return slog.LevelInfo
		}
	}
	return slog.LevelError
}

// streamBothWays makes of r the request to pass on, whose answer may begin before
// the end of its body. end is for the end of the handler.
func streamBothWays(w http.ResponseWriter, r *http.Request, log *slog.Logger) (out *http.Request, end func()) {
	control := http.NewResponseController(w)
	// Writers that cannot do it (HTTP/2) are full duplex anyway.
	if err := control.EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		log.Warn("stream both ways", "err", err)
	}
	out = r.Clone(r.Context())
	// Closing the body reads on, and a client that expects 100 (Continue) sends
	// nothing before it has an answer: the answer goes first.
	out.Body = io.NopCloser(r.Body)
	// A full-duplex handler must not leave the end of the body to net/http,
	// which then drops the connection under the client's next request.
	return out, func() {
		if r.Body == http.NoBody {
			return
		}
		_ = control.Flush() // fails when the connection is a WebSocket's now
		_ = r.Body.Close()
	}
}

// refuse answers with the error envelope.
func (t *Toolbox) refuse(w http.ResponseWriter, r *http.Request, err error) {
	httperror.Write(w, envelope(r, err, t.Log), r.URL.Path)
}

// envelope tells people of err. One that is no fault is ours, for the log.
func envelope(r *http.Request, err error, log *slog.Logger) *api.Error {
	e := &api.Error{StatusCode: http.StatusInternalServerError, Code: "INTERNAL_SERVER_ERROR", Message: "The server failed: see its log."}
	var f *fault.Error
	if errors.As(err, &f) {
		e = httperror.Of(f)
	} else {
		log.Error("request to a sandbox", "path", r.URL.Path, "err", err)
	}
	e.Source = api.SourceProxy
	httperror.Complete(e, r.URL.Path)
	return e
}
