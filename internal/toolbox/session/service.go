// Package session keeps shells in which one command follows another and sees
// what the former left: directory, variables, functions. Every command has its
// own log. The sandbox's entrypoint shows as a session of its own.
// How shells are found and started is in package launch, logs are in logfile.
package session

import (
	"crypto/rand"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// entrypointID is the session of the sandbox's entrypoint.
const entrypointID = "entrypoint"

// Service answers /process/session and below.
type Service struct {
	launcher *launch.Launcher
	pipeDir  string // of the directories of sessions
	logDir   string

	mu         sync.Mutex
	sessions   map[string]*session
	entrypoint *Entrypoint // nil when none is configured
}

// New makes the service. It makes the directories pipes and logs, and keeps in
// them what they are named for.
func New(l *launch.Launcher, pipes, logs string) (*Service, error) {
	// Pipes are opened by the user's shell, by names that cannot be guessed;
	// logs only by the agent.
	for dir, mode := range map[string]os.FileMode{pipes: 0o711, logs: 0o700} {
		if err := os.Mkdir(dir, mode); err != nil {
			return nil, err
		}
	}
	return &Service{launcher: l, pipeDir: pipes, logDir: logs, sessions: map[string]*session{}}, nil
}

// Register adds the service's routes.
func (s *Service) Register(mux *http.ServeMux) {
	mux.Handle("GET /process/session", wire.Handler(s.list))
	mux.Handle("POST /process/session", wire.Handler(s.create))
	mux.Handle("GET /process/session/entrypoint", wire.Handler(s.getEntrypoint))
	mux.Handle("GET /process/session/entrypoint/logs", wire.Handler(s.entrypointLogs))
	mux.Handle("GET /process/session/{session}", wire.Handler(s.get))
	mux.Handle("DELETE /process/session/{session}", wire.Handler(s.remove))
	mux.Handle("POST /process/session/{session}/exec", wire.Handler(s.exec))
	mux.Handle("GET /process/session/{session}/command/{command}", wire.Handler(s.getCommand))
	mux.Handle("GET /process/session/{session}/command/{command}/logs", wire.Handler(s.logs))
	mux.Handle("POST /process/session/{session}/command/{command}/input", wire.Handler(s.input))
}

type sessionView struct {
	SessionID string        `json:"sessionId"`
	Commands  []commandView `json:"commands"`
}

type commandView struct {
	ID       string `json:"id"`
	Command  string `json:"command"`
	ExitCode *int   `json:"exitCode,omitempty"` // none while it runs
}

func (s *Service) list(w http.ResponseWriter, _ *http.Request) error {
	s.mu.Lock()
	all := make([]*session, 0, len(s.sessions))
	for _, one := range s.sessions {
		if one != nil { // its shell has started
			all = append(all, one)
		}
	}
	s.mu.Unlock()
	sort.Slice(all, func(i, j int) bool { return all[i].created.Before(all[j].created) })
	views := make([]sessionView, 0, len(all))
	for _, one := range all {
		views = append(views, one.view())
	}
	wire.JSON(w, http.StatusOK, views)
	return nil
}

func (s *Service) create(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		SessionID string `json:"sessionId"`
	}
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	id := req.SessionID
	switch {
	case id == "":
		return wire.Bad("sessionId is missing")
	case len(id) > 256, strings.ContainsAny(id, "/\x00"):
		return wire.Bad("sessionId must have at most 256 bytes, and no '/' or NUL byte")
	case id == entrypointID:
		return wire.Bad("session %q is the sandbox's entrypoint: choose another sessionId", id)
	}
	s.mu.Lock()
	_, exists := s.sessions[id]
	if !exists {
		s.sessions[id] = nil // reserved while the shell starts
	}
	s.mu.Unlock()
	if exists {
		return wire.Errorf(http.StatusConflict, wire.Conflict, "session %q already exists: use it, delete it, or choose another sessionId", id)
	}
	one, err := s.open(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		delete(s.sessions, id)
		return err
	}
	s.sessions[id] = one
	w.WriteHeader(http.StatusCreated)
	return nil
}

// find returns the session that r names.
func (s *Service) find(r *http.Request) (*session, error) {
	id := r.PathValue("session")
	if id == entrypointID {
		return nil, wire.Bad("session %q is the sandbox's entrypoint, which has logs and nothing else: create a session of another name", id)
	}
	s.mu.Lock()
	one := s.sessions[id]
	s.mu.Unlock()
	if one == nil {
		return nil, wire.Errorf(http.StatusNotFound, wire.ProcessNotFound, "session %q does not exist: create it first", id)
	}
	return one, nil
}

// findCommand returns the command that r names.
func (s *Service) findCommand(r *http.Request) (*session, *command, error) {
	one, err := s.find(r)
	if err != nil {
		return nil, nil, err
	}
	id := r.PathValue("command")
	cmd := one.command(id)
	if cmd == nil {
		return nil, nil, wire.Errorf(http.StatusNotFound, wire.ProcessNotFound, "session %q has no command %q, or it ended %d commands ago", one.id, id, maxEnded)
	}
	return one, cmd, nil
}

func (s *Service) get(w http.ResponseWriter, r *http.Request) error {
	one, err := s.find(r)
	if err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, one.view())
	return nil
}

func (s *Service) getCommand(w http.ResponseWriter, r *http.Request) error {
	_, cmd, err := s.findCommand(r)
	if err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, cmd.view())
	return nil
}

// What runs in a session that is deleted has grace to end by itself. The answer
// comes after patience, also when something is stuck in the kernel.
const (
	grace    = 5 * time.Second
	patience = 8 * time.Second
)

// remove ends everything in the session and forgets it.
func (s *Service) remove(w http.ResponseWriter, r *http.Request) error {
	one, err := s.find(r)
	if err != nil {
		return err
	}
	one.deleted.Store(true)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		one.shell.KillTreeKindly(grace)
		<-one.over
		if s.forget(one) {
			one.removeFiles()
		}
	}()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-gone:
	case <-late.C:
		if s.forget(one) {
			go func() {
				<-gone
				one.removeFiles()
			}()
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// forget gives a session's name back; the first who does it frees its files.
func (s *Service) forget(one *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[one.id] != one {
		return false
	}
	delete(s.sessions, one.id)
	return true
}

// newLogPath names a log that does not exist yet.
func (s *Service) newLogPath() string { return filepath.Join(s.logDir, rand.Text()) }
