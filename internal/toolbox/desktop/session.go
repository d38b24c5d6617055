package desktop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// session is a desktop that was started.
type session struct {
	service    *Service
	env        map[string]string // of its programs, beyond the sandbox's
	announced  map[string]string // of env, what other processes of the sandbox have too
	resolution string
	vncPort    int
	webPort    int
	programs   []*supervised // in the order of their start

	ctx    context.Context // ends when the desktop is stopped
	cancel context.CancelFunc
	loops  sync.WaitGroup // of the programs
}

// begin starts the programs, which need not be ready when it returns.
func (s *Service) begin() (*session, error) {
	env, err := s.environment()
	if err != nil {
		return nil, err
	}
	current := &session{service: s, env: env}
	env["GTK_A11Y"], env["QT_ACCESSIBILITY"] = "atspi", "1"
	if current.resolution, err = screen(s.launcher.Env.Get("VNC_RESOLUTION")); err != nil {
		return nil, err
	}
	if current.vncPort, err = s.port("VNC_PORT", 5901); err != nil {
		return nil, err
	}
	if current.webPort, err = s.port("NO_VNC_PORT", 6080); err != nil {
		return nil, err
	}
	if err := s.launcher.AsUser(func() error { return os.MkdirAll(env["XDG_RUNTIME_DIR"], 0o700) }); err != nil {
		return nil, fmt.Errorf("make the desktop's directory: %w", err)
	}
	if err := current.clear(); err != nil {
		return nil, err
	}
	s.workers.endElsewhere(env["DISPLAY"])
	current.ctx, current.cancel = context.WithCancel(context.Background())
	for _, p := range catalogue() {
		if s.find(p.file) == "" {
			continue // what is not required
		}
		current.programs = append(current.programs, &supervised{program: p, session: current, changed: make(chan struct{})})
	}
	for _, p := range current.programs {
		current.loops.Go(p.supervise)
	}
	return current, nil
}

// socket is that of the X server.
func (s *session) socket() string {
	return filepath.Join(socketDir, "X"+s.number())
}

// socketDir is where programs look for displays.
const socketDir = "/tmp/.X11-unix"

func (s *session) number() string { return localDisplay.FindStringSubmatch(s.env["DISPLAY"])[1] }

// clear removes what a display left that did not end in order: one of this
// sandbox before a kill, or of the sandbox that this is a copy of. An X server
// would take the process that now has the number in the lock for the other one.
func (s *session) clear() error {
	// The server itself is not root, and what it makes there must not be others' to remove.
	if err := os.Mkdir(socketDir, 0o777|fs.ModeSticky); err == nil {
		if err := os.Chmod(socketDir, 0o777|fs.ModeSticky); err != nil { // past the umask
			return fmt.Errorf("make the directory of displays: %w", err)
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the directory of displays: %w", err)
	}
	if conn, err := net.DialTimeout("unix", s.socket(), time.Second); err == nil {
		conn.Close()
		return wire.Errorf(http.StatusConflict, wire.Conflict, "another X server has the display %s: end it, or set the sandbox's variable DISPLAY to another, such as :5", s.env["DISPLAY"])
	}
	for _, stale := range []string{s.socket(), "/tmp/.X" + s.number() + "-lock"} {
		if err := os.Remove(stale); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what an earlier display left: %w", err)
		}
	}
	return nil
}

func (s *session) find(name string) *supervised {
	for _, p := range s.programs {
		if p.name == name {
			return p
		}
	}
	return nil
}

// startPatience is how long a program may take until it can be used.
const startPatience = 30 * time.Second

// await returns when all required programs can be used.
func (s *session) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for _, p := range s.programs {
		if err := p.await(ctx); err != nil && p.required {
			if errors.Is(err, context.Canceled) {
				return wire.Errorf(http.StatusRequestTimeout, wire.RequestTimeout, "the client went away; the desktop goes on starting")
			}
			return wire.Errorf(http.StatusServiceUnavailable, wire.Internal, "the desktop's process %s did not come up (%v)%s", p.name, err, p.lastWords())
		}
	}
	return nil
}

// end ends all programs, and returns when they are gone.
func (s *session) end() {
	s.cancel()
	s.loops.Wait()
}

// processStatus is a program as clients see it.
type processStatus struct {
	Running     bool `json:"running"`
	Priority    int  `json:"priority"`
	AutoRestart bool `json:"autoRestart"`
	Pid         int  `json:"pid,omitempty"`
}

func (s *session) statuses() map[string]processStatus {
	all := stopped()
	for _, p := range s.programs {
		if !p.listed {
			continue
		}
		pid := p.pid()
		all[p.name] = processStatus{Running: pid != 0, Priority: p.priority, AutoRestart: p.again, Pid: pid}
	}
	return all
}

// stopped are the programs of a desktop that does not run.
func stopped() map[string]processStatus {
	all := map[string]processStatus{}
	for _, p := range catalogue() {
		if p.listed {
			all[p.name] = processStatus{Priority: p.priority, AutoRestart: p.again}
		}
	}
	return all
}

// command is how the program is run.
func (p *supervised) command() launch.Command {
	file := p.session.service.find(p.file)
	return launch.Command{
		Argv: append([]string{file}, p.argv(p.session)...), Env: p.session.env,
		Dir: p.session.service.launcher.Home(),
	}
}

// lastWords are the end of what the program has said, for an error.
func (p *supervised) lastWords() string {
	for _, kind := range []string{".err", ".log"} {
		text, err := p.session.service.tail(p.name+kind, 400)
		if err == nil && strings.TrimSpace(text) != "" {
			return ": " + cmp.Or(strings.TrimSpace(text), "")
		}
	}
	return ""
}
