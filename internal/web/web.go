// Package web leads each request to what answers it: the API, events, toolboxes,
// previews, uploads, the registry, metrics.
package web

import (
	"context"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/config"
	"github.com/opendaytona/daytona/internal/httpserver"
	"github.com/opendaytona/daytona/internal/permission"
	"github.com/opendaytona/daytona/internal/space"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/gateway"
	"github.com/opendaytona/daytona/internal/httpapi"
	"github.com/opendaytona/daytona/internal/httperror"
	"github.com/opendaytona/daytona/internal/image/hosted"
	"github.com/opendaytona/daytona/internal/objectstore"
	"github.com/opendaytona/daytona/internal/preview"
)

// Where things are below the origin, besides httpapi.Prefix and
// httpapi.ToolboxPath.
const (
	EventsPath  = httpapi.Prefix + "/socket.io/"
	docsPath    = httpapi.Prefix + "/docs"
	metricsPath = "/metrics"
)

// PreviewHosts serves hosts of its own, and no path on any other.
type PreviewHosts interface {
	http.Handler
	Serves(host string) bool
}

// Web is everything that the listener serves.
type Web struct {
	api     http.Handler
	events  http.Handler
	toolbox http.Handler
	preview PreviewHosts
	// toolboxDomain is "" where the toolboxes have no host of their own.
	toolboxDomain preview.Domain
	metrics       http.Handler
	uploads       http.Handler
	pushes        http.Handler
	home          http.Handler
	// begin ties a request to the keys that it comes with (account.Service).
	begin func(context.Context) (_ context.Context, done func())
}

// Config is what a Web leads to.
type Config struct {
	API      http.Handler
	Events   http.Handler
	Toolbox  http.Handler
	Preview  PreviewHosts
	Uploads  http.Handler // nil where they are elsewhere
	Pushes   http.Handler
	Metrics  prometheus.Gatherer
	Accounts *account.Service
	Ballast  *space.Ballast

	Settings config.Config
	Version  string
	Log      *slog.Logger
}

// New makes it.
func New(c Config) *Web {
	pages := gateway.CrossOrigin{Origins: c.Settings.CORSOrigins}
	w := &Web{
		events: c.Events, preview: exceptOwnHost{c.Settings.OwnHost(), c.Preview}, toolboxDomain: c.Settings.ToolboxDomain(), uploads: c.Uploads, pushes: c.Pushes,
		toolbox: pages.Handler(http.StripPrefix(httpapi.ToolboxPath, c.Toolbox)),
		home:    home(c.Version), begin: c.Accounts.Begin,
	}
	w.api = pages.Handler(makeRoom(c.API, c.Settings.DataDir, c.Ballast, c.Log))
	w.metrics = guardMetrics{
		Accounts: c.Accounts, ownHost: c.Settings.OwnHost(),
		next: promhttp.HandlerFor(c.Metrics, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, ErrorLog: promLog{c.Log}, MaxRequestsInFlight: 4}),
	}
	return w
}

// ToolboxURL is where a client that reaches the server at origin finds the
// toolboxes.
func ToolboxURL(c config.Config, origin string) string {
	if d := c.ToolboxDomain(); d != "" {
		origin = d.Toolbox(origin)
	}
	return origin + httpapi.ToolboxPath
}

// makeRoom lets deletions have the ballast where there is little else.
func makeRoom(next http.Handler, dataDir string, b *space.Ballast, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete && space.Require(dataDir, 0, b.Size) != nil && b.Drop() {
			log.Warn("the filesystem of the data directory is full: deleting takes the space that was kept for it")
		}
		next.ServeHTTP(w, r)
	})
}

// ServeHTTP implements http.Handler. It looks at prefixes only: a mux would
// redirect what it finds untidy, and names in paths may be.
func (w *Web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	at, path := w.home, r.URL.Path
	whole := false // the body is, within a time
	toolbox := strings.HasPrefix(path, httpapi.ToolboxPath+"/")
	switch {
	case w.toolboxDomain != "" && w.toolboxDomain.IsToolbox(r.Host): // and nothing else is there
		if toolbox {
			httpserver.SetOperation(r.Context(), "toolbox")
			at = w.toolbox
		}
	case w.preview.Serves(r.Host): // before any path: all of them are the application's
		httpserver.SetOperation(r.Context(), "preview")
		at = w.preview
	case strings.HasPrefix(path, EventsPath):
		httpserver.SetOperation(r.Context(), "events")
		at = w.events
	case path == httpapi.Prefix || path == httpapi.Prefix+"/":
		at = http.RedirectHandler(docsPath, http.StatusFound)
	case strings.HasPrefix(path, httpapi.Prefix+"/"):
		at, whole = w.api, true
	case toolbox:
		httpserver.SetOperation(r.Context(), "toolbox")
		at = w.toolbox
	case w.uploads != nil && objectstore.Serves(path):
		httpserver.SetOperation(r.Context(), "uploads")
		at = w.uploads
	case hosted.Serves(path):
		httpserver.SetOperation(r.Context(), "registry")
		at = w.pushes
	case path == metricsPath:
		httpserver.SetOperation(r.Context(), "metrics")
		at = w.metrics
	}
	ctx, done := w.begin(r.Context())
	defer done()
	r = r.WithContext(ctx)
	defer httpserver.EndAnswer(rw, r)()
	defer httpserver.TimeBody(rw, r, whole)()
	at.ServeHTTP(rw, r)
}

// guardMetrics lets only this machine and keys that may read them see the
// metrics. A request that a proxy passed on is not this machine's, wherever the
// proxy is; one that brings a key is judged by it, wherever it comes from.
type guardMetrics struct {
	Accounts *account.Service
	ownHost  string
	next     http.Handler
}

// ServeHTTP implements http.Handler.
func (g guardMetrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	authorization := r.Header.Get("Authorization")
	if authorization != "" || !fromThisMachine(r) || !ownName(r.Host, g.ownHost) {
		p, err := g.Accounts.Authenticate(r.Context(), httperror.BearerToken(authorization), "")
		if err != nil || !p.Can(permission.ReadMetrics) {
			httperror.Refuse(w, r, fault.Forbidden("METRICS_FORBIDDEN", "Metrics are told to programs on this machine that send no key, and to an administrator's API key with the permission read:metrics: send one as Authorization: Bearer KEY."))
			return
		}
	}
	g.next.ServeHTTP(w, r)
}

// ownName reports whether a request was sent to an address, to a name below
// localhost, or to the machine's or the server's own. A browser on this machine
// that was led here by another site's name (DNS rebinding) says that name. Only
// what needs no credential needs this: a site has none to send.
func ownName(host, ownHost string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	machine, err := os.Hostname()
	return net.ParseIP(host) != nil || host == "localhost" || strings.HasSuffix(host, ".localhost") ||
		host != "" && (host == ownHost || err == nil && host == strings.ToLower(machine))
}

func fromThisMachine(r *http.Request) bool {
	for _, passedOn := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(passedOn) != "" {
			return false
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}

// home is the page at /, and the answer to paths that are nobody's.
func home(version string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			httperror.Refuse(w, r, fault.NotFound("NOT_FOUND", "There is nothing at "+r.URL.Path+": the API is below "+httpapi.Prefix+"."))
			return
		}
		httpserver.SetOperation(r.Context(), "home")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		_ = homePage.Execute(w, version) // to a client that may have gone
	})
}

var homePage = template.Must(template.New("home").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Daytona</title>
<style>body { font: 16px/1.6 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem; color-scheme: light dark }
 code { font: 0.95em ui-monospace, monospace }</style></head><body>
<h1>Daytona</h1>
<p>Secure sandboxes for running code. This server runs version {{.}}.</p>
<ul>
<li><a href="/api/docs">The API</a>, and its <a href="/api/openapi.json">OpenAPI description</a></li>
<li><a href="/api/health/ready">Whether all parts work</a></li>
</ul>
<p>Clients take this server's address with <code>/api</code> as <code>DAYTONA_API_URL</code>, and an API key as
<code>DAYTONA_API_KEY</code>. On the server, root finds both in <code>credentials.json</code> of the data directory.</p>
</body></html>
`))

// promLog passes on what the metrics handler logs.
type promLog struct{ log *slog.Logger }

// Println implements promhttp.Logger.
func (p promLog) Println(v ...any) { p.log.Error("metrics", "err", fmt.Sprint(v...)) }
