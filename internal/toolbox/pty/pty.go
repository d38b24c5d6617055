// Package pty keeps terminals: shells on pseudo-terminals that any number of
// clients watch and type into, which go on without any. Package launch starts the
// shells; upgrade accepts the WebSockets. device.go is the kernel's side,
// output.go and input.go are what goes through it, connect.go is the clients' side.
package pty

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// maxTerminals is how many there may be at once: each has memory of the agent.
const maxTerminals = 128

// Service answers /process/pty and below.
type Service struct {
	launcher *launch.Launcher

	mu        sync.Mutex
	terminals map[string]*terminal
}

// New makes the service.
func New(l *launch.Launcher) *Service { return &Service{launcher: l} }

// Register adds the service's routes.
func (s *Service) Register(mux *http.ServeMux) {
	mux.Handle("GET /process/pty", wire.Handler(s.list))
	mux.Handle("POST /process/pty", wire.Handler(s.create))
	mux.Handle("GET /process/pty/"+createConnect, wire.Handler(s.createAndConnect))
	mux.Handle("GET /process/pty/{terminal}", wire.Handler(s.get))
	mux.Handle("DELETE /process/pty/{terminal}", wire.Handler(s.remove))
	mux.Handle("GET /process/pty/{terminal}/connect", wire.Handler(s.connect))
	mux.Handle("POST /process/pty/{terminal}/resize", wire.Handler(s.resize))
}

// add makes a terminal, and starts it unless that is to wait.
func (s *Service) add(q request, z size) (*terminal, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	z, err := checkSize(z)
	if err != nil {
		return nil, err
	}
	if q.Cwd == "" {
		q.Cwd = s.launcher.WorkDir()
	}
	if q.Cwd, err = s.launcher.Path(q.Cwd); err != nil {
		return nil, err
	}
	t := &terminal{request: q, created: time.Now(), size: z, done: make(chan struct{})}
	if err := s.reserve(t); err != nil {
		return nil, err
	}
	if !q.LazyStart {
		if err := s.start(t); err != nil {
			s.forget(t)
			return nil, err
		}
	}
	return t, nil
}

func (s *Service) reserve(t *terminal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminals[t.ID] != nil {
		return wire.Errorf(http.StatusConflict, wire.Conflict, "terminal %q already exists: connect to it, delete it, or choose another id", t.ID)
	}
	if len(s.terminals) >= maxTerminals {
		return wire.Errorf(http.StatusConflict, wire.Conflict, "the sandbox has the maximum of %d terminals: delete some", maxTerminals)
	}
	if s.terminals == nil {
		s.terminals = map[string]*terminal{}
	}
	s.terminals[t.ID] = t
	return nil
}

func (s *Service) start(t *terminal) error {
	return t.start(s.launcher, func() { s.forget(t) })
}

// end kills what runs in a terminal.
func (s *Service) end(t *terminal) {
	t.kill(func() { s.forget(t) })
}

// forget frees the id of a terminal that has ended.
func (s *Service) forget(t *terminal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminals[t.ID] == t {
		delete(s.terminals, t.ID)
	}
}

// find returns the terminal that r names.
func (s *Service) find(r *http.Request) (*terminal, error) {
	id := r.PathValue("terminal")
	s.mu.Lock()
	t := s.terminals[id]
	s.mu.Unlock()
	if t == nil {
		return nil, wire.Errorf(http.StatusNotFound, wire.ProcessNotFound, "terminal %q does not exist or has ended: create it first", id)
	}
	return t, nil
}

func (s *Service) list(w http.ResponseWriter, _ *http.Request) error {
	s.mu.Lock()
	terminals := slices.Collect(maps.Values(s.terminals))
	s.mu.Unlock()
	all := make([]info, 0, len(terminals))
	for _, t := range terminals {
		all = append(all, t.info())
	}
	slices.SortFunc(all, func(a, b info) int { return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	wire.JSON(w, http.StatusOK, map[string]any{"sessions": all})
	return nil
}

func (s *Service) get(w http.ResponseWriter, r *http.Request) error {
	t, err := s.find(r)
	if err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, t.info())
	return nil
}

func (s *Service) create(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		request
		size
	}
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	t, err := s.add(req.request, req.size)
	if err != nil {
		return err
	}
	wire.JSON(w, http.StatusCreated, map[string]string{"sessionId": t.ID})
	return nil
}

func (s *Service) resize(w http.ResponseWriter, r *http.Request) error {
	var req size
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	if err := req.check(); err != nil {
		return err
	}
	t, err := s.find(r)
	if err != nil {
		return endedError(r.PathValue("terminal"))
	}
	if err := t.resize(req); err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, t.info())
	return nil
}

// remove kills what runs in a terminal and, unless the kernel holds it, answers
// when all has ended.
func (s *Service) remove(w http.ResponseWriter, r *http.Request) error {
	t, err := s.find(r)
	if err != nil {
		return err
	}
	s.end(t)
	select {
	case <-t.done:
	case <-time.After(5 * time.Second):
		return wire.Errorf(http.StatusInternalServerError, wire.Internal, "terminal %q is killed, but its shell has not ended yet: the kernel holds it", t.ID)
	}
	wire.JSON(w, http.StatusOK, map[string]string{"message": "the terminal has ended"})
	return nil
}

func (t *terminal) endedError() error { return endedError(t.ID) }

func endedError(id string) error {
	return wire.Errorf(http.StatusGone, wire.SessionEnded, "terminal %q does not exist or has ended: create a new one", id)
}
