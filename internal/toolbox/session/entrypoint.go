package session

import (
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/capture"
	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/logfile"
	"github.com/opendaytona/daytona/internal/toolbox/proc"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// entrypointLog is how much of the entrypoint's output is kept.
const entrypointLog = 32 << 20

// Entrypoint is the sandbox's main process as its image or its maker asked for
// it. Its end ends nothing else, and it is not started again.
type Entrypoint struct {
	argv []string
	log  *logfile.Log
	done chan struct{}
	code int // valid once done is closed

	process *proc.Process // nil when it could not be started
}

// EntrypointProcess is the entrypoint's first process, which may have ended; nil
// when there is none.
func (s *Service) EntrypointProcess() *proc.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entrypoint == nil {
		return nil
	}
	return s.entrypoint.process
}

// RunEntrypoint starts argv. When that fails, the log tells why and the exit
// code is a shell's for a program that cannot be run.
func (s *Service) RunEntrypoint(argv []string) error {
	log, err := logfile.Create(s.newLogPath(), entrypointLog)
	if err != nil {
		return err
	}
	e := &Entrypoint{argv: argv, log: log, done: make(chan struct{})}
	s.mu.Lock()
	s.entrypoint = e
	err = e.start(s.launcher)
	s.mu.Unlock()
	if err != nil {
		log.Append(logfile.Stderr, fmt.Appendf(nil, "cannot run the entrypoint: %v\n", err))
		e.end(127)
		return fmt.Errorf("run entrypoint: %w", err)
	}
	return nil
}

func (e *Entrypoint) start(l *launch.Launcher) error {
	u, err := l.User()
	if err != nil {
		return err
	}
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/null: %w", err)
	}
	defer unix.Close(null)
	out, outW, err := capture.Pipe(u.UID)
	if err != nil {
		return err
	}
	defer unix.Close(outW)
	errs, errsW, err := capture.Pipe(u.UID)
	if err != nil {
		out.Close()
		return err
	}
	defer unix.Close(errsW)
	toll := l.Toll()
	p, err := l.Start(launch.Command{Argv: e.argv, Files: []uintptr{uintptr(null), uintptr(outW), uintptr(errsW)}})
	if err != nil {
		out.Close()
		errs.Close()
		return err
	}
	e.process = p
	stdout := capture.Start(out, func(b []byte) { e.log.Append(logfile.Stdout, b) })
	stderr := capture.Start(errs, func(b []byte) { e.log.Append(logfile.Stderr, b) })
	go func() {
		<-p.Done()
		stdout.Settle()
		stderr.Settle()
		e.log.Append(logfile.Stderr, []byte(toll.Explain(p.ExitCode())))
		e.end(p.ExitCode())
	}()
	return nil
}

func (e *Entrypoint) end(code int) {
	e.code = code
	e.log.End()
	close(e.done)
}

func (s *Service) findEntrypoint() (*Entrypoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entrypoint == nil {
		return nil, wire.Errorf(http.StatusNotFound, wire.NotFound, "this sandbox has no entrypoint")
	}
	return s.entrypoint, nil
}

func (s *Service) getEntrypoint(w http.ResponseWriter, _ *http.Request) error {
	e, err := s.findEntrypoint()
	if err != nil {
		return err
	}
	c := commandView{ID: entrypointID, Command: strings.Join(e.argv, " ")}
	select {
	case <-e.done:
		c.ExitCode = &e.code
	default:
	}
	wire.JSON(w, http.StatusOK, sessionView{SessionID: entrypointID, Commands: []commandView{c}})
	return nil
}

func (s *Service) entrypointLogs(w http.ResponseWriter, r *http.Request) error {
	e, err := s.findEntrypoint()
	if err != nil {
		return err
	}
	return serveLogs(w, r, e.log)
}
