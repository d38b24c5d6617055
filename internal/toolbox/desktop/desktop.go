package desktop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// Service answers the desktop's routes.
type Service struct {
	launcher *launch.Launcher
	find     func(program string) string // where the image has it; "" where it has not
	workers  workers

	turn chan struct{} // holds one token: whose turn it is to start or stop

	mu      sync.Mutex
	session *session // nil while the desktop does not run
}

// New makes the service; nothing is started.
func New(l *launch.Launcher) *Service {
	s := &Service{launcher: l, turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	s.find = func(program string) string { return l.Find(program) }
	s.workers = workers{start: s.startWorker, idle: idlePatience}
	return s
}

// Register adds the service's routes.
func (s *Service) Register(mux *http.ServeMux) {
	handle := func(pattern string, f func(http.ResponseWriter, *http.Request) error) {
		mux.Handle(pattern, wire.Handler(func(w http.ResponseWriter, r *http.Request) error {
			if err := s.available(); err != nil {
				return err
			}
			return f(w, r)
		}))
	}
	handle("POST /computeruse/start", s.start)
	handle("POST /computeruse/stop", s.stop)
	handle("GET /computeruse/status", s.status)
	handle("GET /computeruse/process-status", s.status)
	handle("GET /computeruse/process/{name}/status", s.processStatus)
	handle("GET /computeruse/process/{name}/logs", s.logsOf("logs", ".log"))
	handle("GET /computeruse/process/{name}/errors", s.logsOf("errors", ".err"))
	handle("POST /computeruse/process/{name}/restart", s.restart)
	for _, route := range workerRoutes {
		if route.anytime {
			mux.Handle(route.pattern, wire.Handler(s.pass))
			continue
		}
		handle(route.pattern, s.passStarted)
	}
}

// pass lets the worker answer.
func (s *Service) pass(w http.ResponseWriter, r *http.Request) error {
	worker, done, err := s.workers.use()
	if err != nil {
		return err
	}
	defer done()
	worker.proxy.ServeHTTP(w, r)
	return nil
}

func (s *Service) passStarted(w http.ResponseWriter, r *http.Request) error {
	session := s.running()
	if session == nil {
		return errNotStarted
	}
	if !session.find("xvfb").running() {
		return wire.Errorf(http.StatusServiceUnavailable, wire.Internal,
			"the display is not running: it is started again in %s; GET /computeruse/process/xvfb/errors says why it ended", restartPause)
	}
	return s.pass(w, r)
}

var errNotStarted = wire.Bad("the desktop is not started: start it first (POST /computeruse/start; computer_use.start() in the SDKs)")

func (s *Service) running() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session
}

// take waits for the turn to start or stop the desktop.
func (s *Service) take(ctx context.Context) (done func(), err error) {
	select {
	case <-s.turn:
		return func() { s.turn <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, wire.Errorf(http.StatusRequestTimeout, wire.RequestTimeout, "the client went away")
	}
}

// start starts the desktop, and answers when it can be used. What did not come up
// stays as it is, so that a client can look at its logs, and start again.
func (s *Service) start(w http.ResponseWriter, r *http.Request) error {
	done, err := s.take(r.Context())
	if err != nil {
		return err
	}
	defer done()
	current := s.running()
	if current == nil {
		if current, err = s.begin(); err != nil {
			return err
		}
		s.mu.Lock()
		s.session = current
		s.mu.Unlock()
		s.announce(current)
	}
	if err := current.await(r.Context()); err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, changed{"Computer use started: the desktop runs", current.statuses()})
	return nil
}

// stop ends the desktop, the worker first: it may have to finish what needs the
// display.
func (s *Service) stop(w http.ResponseWriter, r *http.Request) error {
	done, err := s.take(r.Context())
	if err != nil {
		return err
	}
	defer done()
	s.mu.Lock()
	current := s.session
	s.session = nil
	s.mu.Unlock()
	statuses := stopped()
	if current != nil {
		s.withdraw(current)
		s.workers.end()
		current.end()
		statuses = current.statuses()
	}
	wire.JSON(w, http.StatusOK, changed{"Computer use stopped: the desktop has ended", statuses})
	return nil
}

// changed is the answer to start and stop.
type changed struct {
	Message string                   `json:"message"`
	Status  map[string]processStatus `json:"status"`
}

// status tells how much of the desktop runs.
func (s *Service) status(w http.ResponseWriter, _ *http.Request) error {
	answer := "inactive"
	if current := s.running(); current != nil {
		up := 0
		for _, p := range current.programs {
			if p.required && p.running() {
				up++
			}
		}
		switch up {
		case required():
			answer = "active"
		case 0:
			answer = "error" // it was started, and nothing of it runs
		default:
			answer = "partial"
		}
	}
	wire.JSON(w, http.StatusOK, map[string]string{"status": answer})
	return nil
}

func (s *Service) processStatus(w http.ResponseWriter, r *http.Request) error {
	name, err := named(r)
	if err != nil {
		return err
	}
	current := s.running()
	wire.JSON(w, http.StatusOK, map[string]any{"processName": name, "running": current != nil && current.find(name).running()})
	return nil
}

// restart ends one process and answers when it runs again.
func (s *Service) restart(w http.ResponseWriter, r *http.Request) error {
	name, err := named(r)
	if err != nil {
		return err
	}
	current := s.running()
	if current == nil {
		return errNotStarted
	}
	if err := current.find(name).restart(r.Context()); err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, map[string]string{"message": "Process " + name + " restarted", "processName": name})
	return nil
}

// named is the process that a request is about.
func named(r *http.Request) (string, error) {
	name := r.PathValue("name")
	if !slices.ContainsFunc(catalogue(), func(p program) bool { return p.name == name }) {
		return "", wire.Errorf(http.StatusNotFound, wire.NotFound, "the desktop has no process %q: it has %s", name, strings.Join(listed(), ", "))
	}
	return name, nil
}

// environment is what the desktop's programs have beyond the sandbox's variables.
func (s *Service) environment() (map[string]string, error) {
	display, err := s.display()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.dir(), "run")
	return map[string]string{
		"DISPLAY":                  display,
		"XDG_RUNTIME_DIR":          dir,
		"DBUS_SESSION_BUS_ADDRESS": "unix:path=" + filepath.Join(dir, "bus"),
	}, nil
}

// display is where the X server is or will be.
func (s *Service) display() (string, error) {
	display := s.launcher.Env.Get("DISPLAY")
	if display == "" {
		return ":0", nil
	}
	if !localDisplay.MatchString(display) {
		return "", wire.Bad("the sandbox's variable DISPLAY is %q: the desktop needs one such as :0; unset it (POST /env)", display)
	}
	return display, nil
}

// announce tells the processes that are started from now on where the desktop
// is, unless the sandbox's own variables say something else.
func (s *Service) announce(current *session) {
	set := map[string]string{}
	for _, name := range []string{"DISPLAY", "DBUS_SESSION_BUS_ADDRESS"} {
		if s.launcher.Env.Get(name) == "" {
			set[name] = current.env[name]
		}
	}
	current.announced = set
	if err := s.launcher.Env.Update(set, nil, ""); err != nil {
		panic(fmt.Sprintf("set %v: %v", set, err)) // made here, and valid
	}
}

func (s *Service) withdraw(current *session) {
	var unset []string
	for name, value := range current.announced {
		if s.launcher.Env.Get(name) == value {
			unset = append(unset, name)
		}
	}
	_ = s.launcher.Env.Update(nil, unset, "") // removing cannot fail
}

// errEnded is why a program is not started.
var errEnded = errors.New("the desktop has been stopped")
