package web

import (
	"encoding/json"
	"net/http"
	"sync/atomic"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/httpapi"
	"github.com/opendaytona/daytona/internal/httperror"
	"github.com/opendaytona/daytona/internal/httpserver"
)

// Gate answers from the first moment of the process: that it is alive, and to
// everything else that the server is recovering, until Open. So nobody can use,
// stop or delete what has not been looked at yet.
type Gate struct{ open atomic.Pointer[http.Handler] }

// Open lets requests through to next from now on.
func (g *Gate) Open(next http.Handler) { g.open.Store(&next) }

// RetryAfter is in how many seconds clients are told to come back.
const RetryAfter = "2"

// ServeHTTP implements http.Handler.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if next := g.open.Load(); next != nil {
		(*next).ServeHTTP(w, r)
		return
	}
	httpserver.SetOperation(r.Context(), "recovering")
	defer httpserver.TimeBody(w, r, true)()
	if r.URL.Path == httpapi.HealthPath && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(api.Health{Status: "ok"}) // to a client that may have gone
		return
	}
	w.Header().Set("Retry-After", RetryAfter)
	httperror.Refuse(w, r, fault.Unavailable("RECOVERING", "The server has just started and is recovering: send the request again in a few seconds."))
}
