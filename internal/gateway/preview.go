package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/preview"
)

// Admission judges requests for previews.
type Admission interface {
	Admit(ctx context.Context, n preview.Name, c preview.Credentials) (preview.Admitted, error)
}

// PreviewConfig is what a Preview stands on.
type PreviewConfig struct {
	Admission Admission
	Domain    preview.Domain
	Toolbox   *Toolbox // at the previews of preview.ToolboxPort
	Dialer    Dialer
	Touch     Touch
	// Origin is where the client of a request reaches the server.
	Origin      func(*http.Request) string
	CrossOrigin CrossOrigin
	Log         *slog.Logger
}

// Preview is the proxy at {port}-{sandbox or token}.{Domain}, to whatever
// listens on the port.
type Preview struct {
	PreviewConfig
	proxy   httputil.ReverseProxy
	readers readers

	mu     sync.Mutex
	active map[string]int // requests by sandbox
}

// What previews may take.
const (
	// Requests and WebSockets of one sandbox at once. Everybody may come to a
	// public one, and an application need never answer: without a bound they
	// would use up the descriptors of the server, which are everybody's.
	maxPreviewRequests = 512
	maxAnswerHeaders   = 1 << 20 // bytes
	// Shorter than any server's that is known (Gunicorn's 2 s is the shortest),
	// so that a request is not sent into a connection that just ends.
	previewIdle = time.Second
	// For the application to refuse a body before it is sent.
	continuePatience = time.Second
)

// NewPreview makes the proxy.
func NewPreview(c PreviewConfig) *Preview {
	p := &Preview{PreviewConfig: c, active: make(map[string]int), readers: c.CrossOrigin.readers()}
	p.proxy = httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.RawQuery = r.In.URL.RawQuery // the proxy would drop what is not well-formed
			// Those in front of us come first, as proxies do it.
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
			r.SetXForwarded()
			r.Out.Header.Set("X-Forwarded-Proto", p.scheme(r.In))
			r.Out.Host = r.In.Host
		},
		FlushInterval: -1,
		ErrorHandler:  p.failed,
		Transport: distrusting{confine: confinePreview, RoundTripper: &http.Transport{
			DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
				id, port, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				return tunnel(ctx, c.Dialer, id, port)
			},
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        previewIdle,
			ExpectContinueTimeout:  continuePatience,
			MaxResponseHeaderBytes: maxAnswerHeaders,
			DisableCompression:     true,
		}},
	}
	return p
}

// Serves reports whether a request for the host is for a preview, though maybe
// for none there is.
func (p *Preview) Serves(host string) bool {
	_, ok := p.Domain.Label(host)
	return ok
}

// ServeHTTP implements http.Handler for hosts that it Serves.
func (p *Preview) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	label, _ := p.Domain.Label(r.Host)
	name, ok := preview.ParseName(label)
	if !ok {
		p.refuse(w, r, fault.NotFound("PREVIEW_NOT_FOUND", "This preview does not exist: host names of previews begin with PORT-SANDBOX."+p.Domain.Host()+", with the sandbox's id."))
		return
	}
	credentials, byQuery := takeCredentials(r)
	admitted, err := p.Admission.Admit(r.Context(), name, credentials)
	// The toolbox is for trusted pages only, as it is at its other address.
	r = p.readers.remember(r, admitted.ByCookie || name.Port == preview.ToolboxPort)
	if err != nil {
		if granted := reading(r); isPreflight(r) && len(granted) > 0 {
			addTo(w.Header(), granted)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		p.refuse(w, r, err)
		return
	}
	if name.Port == preview.ToolboxPort {
		addTo(w.Header(), reading(r))
		if isPreflight(r) && len(reading(r)) > 0 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		p.Toolbox.forward(w, r, admitted.SandboxID, r.URL.Path, r.URL.EscapedPath())
		return
	}
	if admitted.OurKey {
		r.Header.Del("Authorization")
	}
	if byQuery != "" && name.Sandbox != "" {
		p.keepToken(w, r, name.Sandbox, byQuery)
		if isNavigation(r) {
			// The address bar, the history and the page itself need not have it.
			// Redirected to its own host, which is a preview's.
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, p.scheme(r)+"://"+r.Host+r.URL.RequestURI(), http.StatusSeeOther)
			return
		}
	}
	end, err := p.begin(admitted.SandboxID)
	if err != nil {
		w.Header().Set("Retry-After", "1")
		p.refuse(w, r, err)
		return
	}
	defer end()
	w.Header().Del("X-Request-Id") // the application may have its own
	out, finish := streamBothWays(w, r, p.Log)
	defer finish()
	out.URL = &url.URL{
		Scheme: "http", Host: net.JoinHostPort(admitted.SandboxID, strconv.Itoa(name.Port)),
		Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery,
	}
	p.proxy.ServeHTTP(w, out)
}

// begin counts a request to the sandbox until end is called.
func (p *Preview) begin(id string) (end func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active[id] >= maxPreviewRequests {
		return nil, fault.Unavailable("PREVIEW_BUSY", fmt.Sprintf("The sandbox has reached the maximum of %d concurrent preview requests: try again.", maxPreviewRequests))
	}
	p.active[id]++
	used := p.Touch.during(id)
	return func() {
		used()
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.active[id]--; p.active[id] == 0 {
			delete(p.active, id)
		}
	}, nil
}

// scheme is that of the client's address.
func (p *Preview) scheme(r *http.Request) string {
	if u, err := url.Parse(p.Origin(r)); err == nil && u.Scheme == "https" {
		return "https"
	}
	return "http"
}

// failed answers for an application that does not.
func (p *Preview) failed(w http.ResponseWriter, r *http.Request, err error) {
	id, port, _ := net.SplitHostPort(r.URL.Host)
	var closed closedError
	ended := fault.Ended(r.Context())
	switch {
	case ended != nil:
		err = ended
	case r.Context().Err() != nil:
		return // the client has gone, or the server ends
	case errors.Is(err, engine.ErrNotRunning), errors.Is(err, engine.ErrNotFound):
		err = fault.Conflict("SANDBOX_NOT_STARTED", "The sandbox is not started: start it first.")
	case errors.As(err, &closed) && port == strconv.Itoa(preview.TerminalPort):
		err = fault.NoAnswer("PORT_CLOSED", fmt.Sprintf("There is no terminal in the browser: run daytona terminal %s, or use the terminals of the SDKs. A program of the sandbox may serve one on port %s.", id, port))
	case errors.As(err, &closed):
		err = fault.NoAnswer("PORT_CLOSED", fmt.Sprintf("Nothing answers on port %s of the sandbox: start a server on it, then try again.", port))
	case errors.Is(err, errAgent):
		p.Log.Log(r.Context(), seriousness(err), "preview of a sandbox", "sandbox", id, "port", port, "err", err)
		err = fault.Unavailable("TOOLBOX_UNREACHABLE", "The sandbox does not answer: try again, or stop and start it.")
	case errors.Is(err, os.ErrDeadlineExceeded): // agents and applications have none
		err = errSlowBody
	case errors.Is(err, errDistrusted):
		p.Log.Debug("preview of a sandbox", "sandbox", id, "port", port, "err", err)
		err = fault.NoAnswer("BAD_GATEWAY", fmt.Sprintf("The program on port %s of the sandbox switched to a protocol that was not requested, or sent an invalid status code: fix the program.", port))
	default:
		p.Log.Debug("preview of a sandbox", "sandbox", id, "port", port, "err", err)
		err = fault.NoAnswer("BAD_GATEWAY", fmt.Sprintf("The program on port %s of the sandbox closed the connection or does not speak HTTP: check its output.", port))
	}
	p.refuse(w, r, err)
}

// confinePreview leaves an application all that it can do to its own host.
func confinePreview(answer *http.Response) (*http.Response, error) {
	confineCookies(answer.Header)
	return allowReading(answer), nil
}
