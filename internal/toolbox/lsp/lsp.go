// Package lsp answers /lsp: it runs the language servers of the sandbox's image as
// the sandbox's user, one for each language and project, and speaks with them for
// clients. A server that ended by itself is started again by the next request.
package lsp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opendaytona/daytona/internal/keylock"
	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// Service answers the language server routes.
type Service struct {
	launcher *launch.Launcher
	limits   limits
	// changes has a lock for each project whose server starts or ends.
	changes keylock.Locks

	mu       sync.Mutex
	projects map[key]*project
}

// limits of the waiting for a server.
type limits struct {
	start, request, stop time.Duration
	crashes              int           // within memory, after which it is not started again unasked
	memory               time.Duration // how long a crash counts
}

// New makes the service.
func New(l *launch.Launcher) *Service {
	return &Service{launcher: l, limits: limits{
		start: 2 * time.Minute, request: time.Minute, stop: 5 * time.Second,
		crashes: 3, memory: time.Minute,
	}}
}

// Register adds the service's routes.
func (s *Service) Register(mux *http.ServeMux) {
	mux.Handle("POST /lsp/start", wire.Handler(s.start))
	mux.Handle("POST /lsp/stop", wire.Handler(s.stop))
	mux.Handle("POST /lsp/did-open", wire.Handler(s.didOpen))
	mux.Handle("POST /lsp/did-close", wire.Handler(s.didClose))
	mux.Handle("POST /lsp/completions", wire.Handler(s.completions))
	mux.Handle("GET /lsp/document-symbols", wire.Handler(s.documentSymbols))
	mux.Handle("GET /lsp/workspacesymbols", wire.Handler(s.workspaceSymbols))
}

// key names a server: the directory counts as the client has written it.
type key struct {
	LanguageID    string `json:"languageId"`
	PathToProject string `json:"pathToProject"`
}

// project is what clients have started a server for.
type project struct {
	key
	language *language
	root     string // absolute
	opened   kept   // by clients, who expect them open in the next server too

	mu      sync.Mutex
	server  *server // the last one; nil until one is initialized
	mourned *server // the last one whose end is in crashes
	crashes []time.Time
}

func (s *Service) start(w http.ResponseWriter, r *http.Request) error {
	var k key
	if err := wire.Decode(w, r, &k); err != nil {
		return err
	}
	language, err := findLanguage(k.LanguageID)
	if err != nil {
		return err
	}
	if k.PathToProject == "" {
		return wire.Bad("pathToProject is missing: give the directory of the project")
	}
	root, err := s.launcher.Path(withoutScheme(k.PathToProject))
	if err != nil {
		return err
	}
	if there, directory := s.stat(root); there && !directory {
		return wire.Bad("pathToProject %s is not a directory", shorten(k.PathToProject))
	}
	unlock, err := s.changes.Lock(r.Context(), k.lock())
	if err != nil {
		return gone("the client went away and the server was not started")
	}
	defer unlock()
	p := s.find(k)
	if p == nil {
		p = &project{key: k, language: language, root: root}
	} else if p.running() != nil {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	p.forgive()
	if _, err := s.run(r.Context(), p); err != nil {
		return err
	}
	s.mu.Lock()
	if s.projects == nil {
		s.projects = map[key]*project{}
	}
	s.projects[k] = p
	s.mu.Unlock()
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Service) stop(w http.ResponseWriter, r *http.Request) error {
	var k key
	if err := wire.Decode(w, r, &k); err != nil {
		return err
	}
	if _, err := findLanguage(k.LanguageID); err != nil {
		return err
	}
	unlock, err := s.changes.Lock(r.Context(), k.lock())
	if err != nil {
		return gone("the client went away and the server was not stopped")
	}
	defer unlock()
	p := s.find(k)
	if p == nil {
		return k.notStarted()
	}
	s.mu.Lock()
	delete(s.projects, k)
	s.mu.Unlock()
	if one := p.running(); one != nil {
		one.end(context.WithoutCancel(r.Context()), s.limits.stop)
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// run starts a project's server and opens in it what clients have opened. The
// caller has the project's lock.
func (s *Service) run(ctx context.Context, p *project) (*server, error) {
	one, err := s.launch(p)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, s.limits.start)
	defer cancel()
	if err := one.initialize(bounded, p); err != nil {
		one.close(errEnded)
		<-one.ended
		why := one.obituary()
		var said *responseError
		switch {
		case ctx.Err() != nil:
			return nil, gone("the client went away and the server was not started")
		case bounded.Err() != nil:
			why = fmt.Sprintf(": it did not answer within %s%s", s.limits.start, why)
		case errors.As(err, &said):
			why = ": " + said.Error()
		case !errors.Is(err, errClosed):
			why = ": " + err.Error()
		}
		return nil, wire.Errorf(http.StatusInternalServerError, wire.Internal, "start %s%s", one.program, why)
	}
	p.mu.Lock()
	p.server = one
	p.mu.Unlock()
	for _, path := range p.opened.all() {
		// A file that is gone is told to whoever asks for it.
		_, _ = s.open(one, p, path, true)
	}
	return one, nil
}

// ready finds the project of a request and its server, which is started again
// when it has ended by itself.
func (s *Service) ready(ctx context.Context, k key) (*project, *server, error) {
	if _, err := findLanguage(k.LanguageID); err != nil {
		return nil, nil, err
	}
	p := s.find(k)
	if p == nil {
		return nil, nil, k.notStarted()
	}
	if one := p.running(); one != nil {
		return p, one, nil
	}
	unlock, err := s.changes.Lock(ctx, k.lock())
	if err != nil {
		return nil, nil, gone("the client went away")
	}
	defer unlock()
	if p = s.find(k); p == nil {
		return nil, nil, k.notStarted()
	}
	if one := p.running(); one != nil {
		return p, one, nil
	}
	if p.mourn(s.limits) > s.limits.crashes {
		return nil, nil, wire.Errorf(http.StatusBadRequest, wire.LSPServerNotInitialized,
			"%s has ended more than %d times within %s and is started by /lsp/start only%s",
			p.language.argv[0], s.limits.crashes, s.limits.memory, p.last().obituary())
	}
	one, err := s.run(ctx, p)
	return p, one, err
}

// ask sends a request to a server and makes an answer of what goes wrong.
func (s *Service) ask(ctx context.Context, one *server, method string, params, result any) error {
	bounded, cancel := context.WithTimeout(ctx, s.limits.request)
	defer cancel()
	err := one.call(bounded, method, params, result)
	var said *responseError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return gone("the client went away")
	case bounded.Err() != nil:
		return wire.Errorf(http.StatusRequestTimeout, wire.RequestTimeout,
			"%s did not answer %s within %s: try again, or stop and start it", one.program, method, s.limits.request)
	case errors.As(err, &said):
		return &refusal{wire.Bad("%s: %s", one.program, said), said.Code}
	case errors.Is(err, errClosed):
		select {
		case <-one.ended:
		case <-bounded.Done():
		}
		return one.endedError()
	}
	return wire.Bad("%s: %v", one.program, err)
}

// refusal is a server's own error.
type refusal struct {
	answer *wire.Error
	code   int
}

func (r *refusal) Error() string { return r.answer.Error() }
func (r *refusal) Unwrap() error { return r.answer }

// endedError answers a request that the server's end has cut off.
func (s *server) endedError() error {
	return wire.Errorf(http.StatusBadRequest, wire.LSPServerNotInitialized, "%s has ended, and the next request starts it again%s", s.program, s.obituary())
}

func gone(message string) error {
	return wire.Errorf(http.StatusRequestTimeout, wire.RequestTimeout, "%s", message)
}

func (s *Service) find(k key) *project {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.projects[k]
}

func (k key) lock() string { return k.LanguageID + "\x00" + k.PathToProject }

func (k key) notStarted() error {
	return wire.Errorf(http.StatusBadRequest, wire.LSPServerNotInitialized,
		"no language server was started for %s and %s: start it first, with the same path", k.LanguageID, shorten(k.PathToProject))
}

func shorten(text string) string {
	const most = 200
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

// running is the project's server when it can be asked.
func (p *project) running() *server {
	if one := p.last(); one != nil && one.alive() {
		return one
	}
	return nil
}

// last is the server that was started last; nil when none ever was.
func (p *project) last() *server {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.server
}

// mourn counts the end of the last server, once, and tells how many ended lately.
func (p *project) mourn(l limits) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.crashes = slices.DeleteFunc(p.crashes, func(at time.Time) bool { return now.Sub(at) >= l.memory })
	if p.mourned != p.server {
		p.mourned = p.server
		p.crashes = append(p.crashes, now)
	}
	return len(p.crashes)
}

func (p *project) forgive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.crashes = nil
}
