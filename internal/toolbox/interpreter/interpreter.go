// Package interpreter runs Python code in contexts, each of which keeps its
// variables, imports and functions from one run to the next. A context is a process
// of the sandbox's user: plain CPython and the program in worker.py. Who waits for
// whom is in context.go, the process in worker.go, what it prints in outlet.go, and
// the WebSocket by which clients run code in execute.go and client.go.
package interpreter

import (
	"cmp"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// defaultID is the context of code that names none.
const defaultID = "default"

// maxContexts is how many contexts a sandbox may have beside the default one.
const maxContexts = 100

// Service answers /process/interpreter.
type Service struct {
	launcher *launch.Launcher

	mu       sync.Mutex
	contexts map[string]*codeContext // with the default one, once it is used
}

// New makes the service. Nothing is started before it is needed.
func New(l *launch.Launcher) *Service { return &Service{launcher: l} }

// Register adds the service's routes.
func (s *Service) Register(mux *http.ServeMux) {
	mux.Handle("GET /process/interpreter/context", wire.Handler(s.list))
	mux.Handle("POST /process/interpreter/context", wire.Handler(s.create))
	mux.Handle("DELETE /process/interpreter/context/{id}", wire.Handler(s.remove))
	mux.HandleFunc("GET /process/interpreter/execute", s.execute)
}

// view is a context as clients see it.
type view struct {
	ID        string    `json:"id"`
	Cwd       string    `json:"cwd"`
	CreatedAt time.Time `json:"createdAt"`
	Active    bool      `json:"active"` // its process runs
	Language  string    `json:"language"`
}

func (s *Service) list(w http.ResponseWriter, _ *http.Request) error {
	s.mu.Lock()
	views := make([]view, 0, len(s.contexts))
	for id, c := range s.contexts {
		if id != defaultID {
			views = append(views, c.view())
		}
	}
	s.mu.Unlock()
	slices.SortFunc(views, func(a, b view) int { return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	wire.JSON(w, http.StatusOK, map[string][]view{"contexts": views})
	return nil
}

func (s *Service) create(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Cwd      string `json:"cwd"`
		Language string `json:"language"`
	}
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	if req.Language != "" && req.Language != "python" {
		return wire.Bad("language %q has no contexts: use python, or run the code by process.code-run", req.Language)
	}
	dir := s.launcher.WorkDir()
	if req.Cwd != "" {
		var err error
		if dir, err = s.launcher.Path(req.Cwd); err != nil {
			return err
		}
	}
	c := newContext(s.launcher, uuid.NewString(), dir)
	if err := s.add(c); err != nil {
		return err
	}
	// It is started now so that its first run need not wait for it, and what is
	// wrong with the directory or with Python is told here.
	if err := c.warm(r.Context()); err != nil {
		s.forget(c)
		return err
	}
	wire.JSON(w, http.StatusOK, c.view())
	return nil
}

func (s *Service) add(c *codeContext) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.contexts == nil {
		s.contexts = map[string]*codeContext{}
	}
	if len(s.contexts) > maxContexts {
		return wire.Errorf(http.StatusConflict, wire.Conflict, "the sandbox has %d interpreter contexts: delete those that are not used any more", maxContexts)
	}
	s.contexts[c.id] = c
	return nil
}

// forget ends a context and all that runs in it.
func (s *Service) forget(c *codeContext) {
	s.mu.Lock()
	delete(s.contexts, c.id)
	s.mu.Unlock()
	c.end()
}

func (s *Service) remove(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if id == defaultID {
		return wire.Bad("the default context cannot be deleted: create one, and delete that")
	}
	c, err := s.find(id)
	if err != nil {
		return err
	}
	s.forget(c)
	wire.JSON(w, http.StatusOK, map[string]string{"message": "context deleted"})
	return nil
}

// find returns a context; the default one is made when it is first asked for.
func (s *Service) find(id string) (*codeContext, error) {
	s.mu.Lock()
	c := s.contexts[id]
	s.mu.Unlock()
	switch {
	case c != nil:
		return c, nil
	case id != defaultID:
		return nil, wire.Errorf(http.StatusNotFound, wire.ProcessNotFound, "interpreter context %q does not exist: create it first", id)
	}
	made := newContext(s.launcher, defaultID, s.launcher.WorkDir())
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.contexts[id]; c != nil {
		return c, nil
	}
	if s.contexts == nil {
		s.contexts = map[string]*codeContext{}
	}
	s.contexts[id] = made
	return made, nil
}
