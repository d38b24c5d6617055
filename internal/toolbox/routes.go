package toolbox

import (
	"net/http"
	"path"
	"strings"

	"github.com/opendaytona/daytona/internal/toolbox/boot"
	"github.com/opendaytona/daytona/internal/toolbox/cgroup"
	"github.com/opendaytona/daytona/internal/toolbox/desktop"
	"github.com/opendaytona/daytona/internal/toolbox/fs"
	"github.com/opendaytona/daytona/internal/toolbox/git"
	"github.com/opendaytona/daytona/internal/toolbox/interpreter"
	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/lsp"
	"github.com/opendaytona/daytona/internal/toolbox/metrics"
	"github.com/opendaytona/daytona/internal/toolbox/port"
	"github.com/opendaytona/daytona/internal/toolbox/process"
	"github.com/opendaytona/daytona/internal/toolbox/pty"
	"github.com/opendaytona/daytona/internal/toolbox/session"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// Handler is the whole toolbox API.
func Handler(cfg boot.Config, l *launch.Launcher, sessions *session.Service, group *cgroup.Group, served fs.Served) http.Handler {
	mux := http.NewServeMux()
	fs.New(l, served).Register(mux)
	process.New(l).Register(mux)
	sessions.Register(mux)
	interpreter.New(l).Register(mux)
	git.New(l).Register(mux)
	desktop.New(l).Register(mux)
	pty.New(l).Register(mux)
	lsp.New(l).Register(mux)
	port.Register(mux)
	metrics.New(group).Register(mux)

	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		wire.JSON(w, http.StatusOK, map[string]string{"version": cfg.Version})
	})
	home := func(w http.ResponseWriter, _ *http.Request) {
		wire.JSON(w, http.StatusOK, map[string]string{"dir": l.Home()})
	}
	mux.HandleFunc("GET /user-home-dir", home)
	mux.HandleFunc("GET /project-dir", home) // as older clients call it
	mux.HandleFunc("GET /work-dir", func(w http.ResponseWriter, _ *http.Request) {
		wire.JSON(w, http.StatusOK, map[string]string{"dir": l.WorkDir()})
	})
	mux.Handle("POST /env", wire.Handler(func(w http.ResponseWriter, r *http.Request) error { return updateEnv(w, r, l) }))
	mux.Handle("POST /init", wire.Handler(initialize))
	mux.Handle("POST /configure", wire.Handler(func(w http.ResponseWriter, r *http.Request) error { return configure(w, r, l) }))
	return routes{mux}
}

func updateEnv(w http.ResponseWriter, r *http.Request, l *launch.Launcher) error {
	var req struct {
		Set              map[string]string `json:"set"`
		Unset            []string          `json:"unset"`
		UnsetValuePrefix string            `json:"unsetValuePrefix"`
	}
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	if err := l.Env.Update(req.Set, req.Unset, req.UnsetValuePrefix); err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, map[string]string{"message": "environment of new processes updated"})
	return nil
}

// initialize answers runners that hand over a token after the start. This agent
// gets all it needs from its configuration.
func initialize(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Token string `json:"token"`
	}
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, map[string]string{"message": "initialized"})
	return nil
}

// routes answers in the API's own words what the mux would in plain text.
type routes struct{ mux *http.ServeMux }

// ServeHTTP implements http.Handler.
func (h routes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if tidy := path.Clean(r.URL.Path); tidy != r.URL.Path && tidy+"/" != r.URL.Path {
		// The mux would redirect to a path that the client knows by another name.
		wire.Fail(w, r, wire.Errorf(http.StatusNotFound, wire.NotFound, "the toolbox has no route %s %s: write it as %s", r.Method, r.URL.Path, tidy))
		return
	}
	if _, pattern := h.mux.Handler(r); pattern != "" {
		h.mux.ServeHTTP(w, r)
		return
	}
	probe := &headerOnly{header: http.Header{}}
	h.mux.ServeHTTP(probe, r)
	if allow := probe.header.Get("Allow"); allow != "" {
		w.Header().Set("Allow", allow)
		wire.Fail(w, r, wire.Errorf(http.StatusMethodNotAllowed, wire.BadRequest,
			"method %s is not allowed here: use %s", r.Method, strings.ReplaceAll(allow, ", ", " or ")))
		return
	}
	wire.Fail(w, r, wire.Errorf(http.StatusNotFound, wire.NotFound, "the toolbox has no route %s %s", r.Method, r.URL.Path))
}

// headerOnly drops an answer's body.
type headerOnly struct{ header http.Header }

func (h *headerOnly) Header() http.Header         { return h.header }
func (h *headerOnly) Write(p []byte) (int, error) { return len(p), nil }
func (h *headerOnly) WriteHeader(int)             {}
