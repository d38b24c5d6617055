// Package httpapi is the control-plane API over HTTP: operations declared once,
// in one file a noun, from which huma makes the handlers, the validation and
// the OpenAPI document. A handler calls a domain service and turns its types
// into those of package api; it decides nothing. Package server mounts it.
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/buildlog"
	"github.com/opendaytona/daytona/internal/fileurl"
	"github.com/opendaytona/daytona/internal/httperror"
	"github.com/opendaytona/daytona/internal/image/hosted"
	"github.com/opendaytona/daytona/internal/objectstore"
	"github.com/opendaytona/daytona/internal/permission"
	"github.com/opendaytona/daytona/internal/preview"
	"github.com/opendaytona/daytona/internal/region"
	"github.com/opendaytona/daytona/internal/registrycreds"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// Config is what the API stands on.
type Config struct {
	Accounts   *account.Service
	Regions    *region.Service
	Snapshots  *snapshot.Service
	Sandboxes  *sandbox.Service
	Registries *registrycreds.Service
	Usage      UsageCounter
	Dissolver  Dissolver
	Logs       *buildlog.Logs
	Contexts   objectstore.Contexts
	Hosted     *hosted.Registry
	Previews   *preview.Service
	FileURLs   *fileurl.Service
	Ready      map[string]func(context.Context) error // the parts that must work, by name
	Log        *slog.Logger
	Version    string
	// PublicURL is where clients reach the server, without /api; "" is where
	// each request says it went.
	PublicURL       string
	DefaultSnapshot string
	// ToolboxURL is where a client that reaches the server at origin finds the
	// toolboxes; nil is at ToolboxPath there.
	ToolboxURL func(origin string) string
	// Operation is told which operation a request is, before anything else is
	// done for it; nil is nobody.
	Operation func(ctx context.Context, id string)
}

// UsageCounter counts what an organization uses.
type UsageCounter interface {
	Usage(ctx context.Context, organizationID string) (sandbox.Usage, error)
	SnapshotCount(ctx context.Context, organizationID string) (int, error)
}

// Dissolver deletes organizations.
type Dissolver interface {
	Dissolve(ctx context.Context, by account.Principal, organizationID string, withContents bool) error
}

// API serves everything below /api.
type API struct {
	Config
	huma    huma.API
	mux     *http.ServeMux
	handler http.Handler // mux, and what the published API has besides
}

// Prefix is the path that the whole API is below.
const Prefix = "/api"

// maxBody is the most that a JSON request body may have.
const maxBody = 1 << 20

// New builds the API.
func New(c Config) *API {
	mux := http.NewServeMux()
	h := huma.DefaultConfig("Daytona", c.Version)
	h.Info.Description = "Secure sandboxes for running code, created from snapshots."
	h.AllowAdditionalPropertiesByDefault = true // clients may be newer than we are
	h.CreateHooks = nil                         // no $schema in bodies
	h.Formats = map[string]huma.Format{"application/json": cleanJSON, "json": cleanJSON}
	h.SchemasPath = ""
	h.OpenAPIPath = "/openapi"
	h.DocsPath = "" // ours works without the network
	h.Servers = []*huma.Server{{URL: Prefix}}
	h.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "An API key"},
	}
	h.Components.Parameters = nil
	a := &API{Config: c, mux: mux, handler: withUnserved(mux), huma: humago.New(mux, h)}
	a.registerMeta()
	a.registerAccount()
	a.registerAdmin()
	a.registerSnapshot()
	a.registerSandbox()
	a.registerPreview()
	a.registerSigningKey()
	a.registerWarmPool()
	a.registerObjectStorage()
	a.registerRegistry()
	a.registerRegistryPush()
	tidyDocument(a.huma.OpenAPI())
	documentUnserved(a.huma.OpenAPI())
	mux.HandleFunc("GET /docs", a.docs)
	mux.HandleFunc("/", a.unknown)
	return a
}

// Document is the OpenAPI document of the routes.
func (a *API) Document() *huma.OpenAPI { return a.huma.OpenAPI() }

// ServeHTTP implements http.Handler for paths below Prefix.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = withRequest(r, a.PublicURL)
	r.Body = http.MaxBytesReader(w, r.Body, maxBody+1)
	defer a.recover(w, r)
	if refuseUnclean(w, r) {
		return
	}
	http.StripPrefix(Prefix, a.handler).ServeHTTP(w, r)
}

// operation declares one route.
type operation struct {
	id        string
	method    string
	path      string
	status    int // of success; 0 is 200
	summary   string
	tag       string
	needs     []permission.Permission // of the key; anyKey where it needs none
	sometimes []Sometimes             // besides, depending on the body; the handler asks
	public    bool                    // no key needed
}

// body is the outcome of most operations.
type body[T any] struct{ Body T }

// none is the outcome of operations that answer nothing, and the input of those
// that take nothing.
type none struct{}

// register adds an operation: authentication first, then permission, then
// validation, then handle.
func register[I, O any](a *API, op operation, handle func(context.Context, *I) (*O, error)) {
	o := huma.Operation{
		OperationID: op.id, Method: op.method, Path: op.path, Summary: op.summary, Tags: []string{op.tag},
		DefaultStatus: op.status, MaxBodyBytes: maxBody, BodyReadTimeout: -1, Errors: op.refusals(),
	}
	if o.DefaultStatus == 0 {
		o.DefaultStatus = http.StatusOK
	}
	if a.Operation != nil {
		o.Middlewares = append(o.Middlewares, func(hc huma.Context, next func(huma.Context)) {
			a.Operation(hc.Context(), op.id)
			next(hc)
		})
	}
	o.Extensions = op.statement()
	if !op.public {
		o.Security = []map[string][]string{{"bearer": {}}}
		o.Middlewares = append(o.Middlewares, a.authenticate(op.needs))
	}
	o.Middlewares = append(o.Middlewares, a.refuseEmpty)
	huma.Register(a.huma, o, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, a.toError(ctx, op, err)
		}
		return out, nil
	})
}

func (a *API) authenticate(needs []permission.Permission) func(huma.Context, func(huma.Context)) {
	return func(hc huma.Context, next func(huma.Context)) {
		p, err := a.Accounts.Authenticate(hc.Context(), httperror.BearerToken(hc.Header("Authorization")), hc.Header("X-Daytona-Organization-ID"))
		if err == nil {
			err = p.Need(needs...)
		}
		if err != nil {
			a.refuse(hc, err)
			return
		}
		next(huma.WithContext(hc, account.WithPrincipal(hc.Context(), p)))
	}
}

// refuse answers before the operation's own handler.
func (a *API) refuse(hc huma.Context, err error) {
	r, w := humago.Unwrap(hc)
	writeError(w, r, a.envelope(hc.Context(), err))
}

// caller is who makes the request; authenticate has put it there. An operation
// that asks for it and is registered as public must fail: nobody is the
// organization of what all share.
func caller(ctx context.Context) account.Principal {
	p, ok := account.FromContext(ctx)
	if !ok {
		panic("an operation without authentication asks who calls it")
	}
	return p
}

// request is what an operation may need of the HTTP request.
type request struct {
	origin string // where the client reached us, without a path
	path   string
	source string // which client it says it is, "" for none that says so
}

type requestKey struct{}

// Origin is where the client of a request reached us: public, or else what the
// request itself says.
func Origin(r *http.Request, public string) string {
	switch {
	case public != "":
		return strings.TrimSuffix(public, "/")
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// withRequest remembers where the client reached us.
func withRequest(r *http.Request, public string) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), requestKey{}, request{Origin(r, public), r.URL.Path, r.Header.Get("X-Daytona-Source")}))
}

func from(ctx context.Context) request {
	r, _ := ctx.Value(requestKey{}).(request)
	return r
}

func origin(ctx context.Context) string { return from(ctx).origin }

// HealthPath is where anybody is told that the process is alive.
const HealthPath = Prefix + "/health"

// ToolboxPath is where the toolbox proxy is below its origin.
const ToolboxPath = "/toolbox"

func (a *API) toolboxURL(ctx context.Context) string {
	if a.ToolboxURL == nil {
		return origin(ctx) + ToolboxPath
	}
	return a.ToolboxURL(origin(ctx))
}
