package session

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"al.essio.dev/pkg/shellescape"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/capture"
	"github.com/opendaytona/daytona/internal/toolbox/identity"
	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/logfile"
	"github.com/opendaytona/daytona/internal/toolbox/proc"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// session is one shell that reads its commands from a pipe. It runs them one
// after the other; those that come meanwhile wait in the pipe.
type session struct {
	id      string
	created time.Time
	toll    func() launch.Toll
	owner   identity.User // of the pipes
	pipes   string        // directory of named pipes
	posix   bool          // the shell is neither zsh nor bash
	shell   *proc.Process
	deleted atomic.Bool   // or is being deleted
	over    chan struct{} // closed when the shell has ended and its commands know

	mu       sync.Mutex
	commands []*command
	byID     map[string]*command
	pending  []*command // given to the shell, not ended
	queue    []string   // script that is not written to the shell yet
	queued   chan struct{}
	ended    bool
}

// open starts the shell of a new session.
func (s *Service) open(id string) (*session, error) {
	path, err := s.launcher.Shell()
	if err != nil {
		return nil, err
	}
	one := &session{
		id: id, created: time.Now(), toll: s.launcher.Toll, byID: map[string]*command{}, queued: make(chan struct{}, 1), over: make(chan struct{}),
		pipes: filepath.Join(s.pipeDir, rand.Text()),
		posix: filepath.Base(path) == "sh",
	}
	if one.owner, err = s.launcher.User(); err != nil {
		return nil, err
	}
	if err := os.Mkdir(one.pipes, 0o711); err != nil {
		return nil, fmt.Errorf("create session: %w", err)
	}
	status, err := one.start(s.launcher, path)
	if err != nil {
		os.RemoveAll(one.pipes)
		return nil, err
	}
	go one.watch(status)
	return one, nil
}

// start runs the shell and returns the pipe through which it reports.
func (s *session) start(l *launch.Launcher, path string) (*os.File, error) {
	if err := s.mkfifo("status"); err != nil {
		return nil, err
	}
	// Open for both: the shell opens it anew for each report, and there is no
	// end of file in between.
	status, err := os.OpenFile(filepath.Join(s.pipes, "status"), os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		status.Close()
		return nil, fmt.Errorf("open /dev/null: %w", err)
	}
	defer unix.Close(null)
	in, script, err := capture.Feed()
	if err != nil {
		status.Close()
		return nil, err
	}
	defer unix.Close(in)
	s.shell, err = l.Start(launch.Command{Argv: []string{path}, Files: []uintptr{uintptr(in), uintptr(null), uintptr(null)}})
	if err != nil {
		status.Close()
		script.Close()
		return nil, err
	}
	go s.write(script)
	return status, nil
}

// mkfifo makes a named pipe that only the session's user may open.
func (s *session) mkfifo(name string) error {
	path := filepath.Join(s.pipes, name)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return fmt.Errorf("make pipe %s: %w", path, err)
	}
	return launch.Own(path, s.owner)
}

// write gives the queue to the shell, however slowly that reads.
func (s *session) write(script *os.File) {
	stop := make(chan struct{})
	go func() {
		<-s.shell.Done()
		script.Close() // wakes a blocked write
		close(stop)
	}()
	for {
		select {
		case <-s.queued:
		case <-stop:
			return
		}
		s.mu.Lock()
		text := strings.Join(s.queue, "")
		s.queue = nil
		s.mu.Unlock()
		if _, err := script.WriteString(text); err != nil {
			return
		}
	}
}

// watch tells commands of their end until the shell has ended.
func (s *session) watch(status *os.File) {
	defer close(s.over)
	defer status.Close()
	go func() {
		<-s.shell.Done()
		// Reports that it wrote before are in the pipe already.
		_ = status.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	}()
	in := bufio.NewReaderSize(status, 256)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				<-s.shell.Done()
			}
			break
		}
		id, code, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.Atoi(code)
		if cmd := s.settle(id); cmd != nil && err == nil {
			cmd.finish(n)
		}
	}
	code := s.shell.ExitCode()
	s.mu.Lock()
	s.ended = true
	left := s.pending
	s.pending = nil
	s.mu.Unlock()
	for i, cmd := range left {
		if i > 0 {
			cmd.log.Append(logfile.Stderr, []byte("the session's shell ended before this command began\n"))
		}
		// The first one may be what has ended the shell.
		cmd.cut.Store(i > 0 || s.deleted.Load())
		cmd.finish(code)
	}
}

// settle takes a command off the pending ones.
func (s *session) settle(id string) *command {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, cmd := range s.pending {
		if cmd.id == id {
			s.pending = append(s.pending[:i], s.pending[i+1:]...)
			if len(s.pending) > 0 {
				s.pending[0].toll = s.toll() // it begins now
			}
			return cmd
		}
	}
	return nil
}

// submit queues cmd for the shell.
func (s *session) submit(cmd *command) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.deleted.Load() {
		return s.endedError()
	}
	if len(s.pending) >= maxPending {
		return wire.Errorf(http.StatusConflict, wire.Conflict,
			"session %q has %d commands that have not ended: wait for some of them, or use another session", s.id, len(s.pending))
	}
	s.forget()
	s.commands = append(s.commands, cmd)
	s.byID[cmd.id] = cmd
	cmd.toll = s.toll()
	s.pending = append(s.pending, cmd)
	s.queue = append(s.queue, s.script(cmd))
	select {
	case s.queued <- struct{}{}:
	default: // the writer takes the whole queue
	}
	return nil
}

// maxPending is how many commands may wait for each other in a session: each has
// pipes and a log that are open.
const maxPending = 256

// A session remembers this many commands that have ended, and the logs of them,
// as long as their text is not more than that; and the last one in any case.
const (
	maxEnded     = 1000
	maxEndedText = 8 << 20
)

// forget drops the oldest commands that have ended, when there are too many.
func (s *session) forget() {
	ended, text := 0, 0
	for i, cmd := range slices.Backward(s.commands) {
		if cmd.running() {
			continue
		}
		ended++
		text += len(cmd.text)
		if ended > 1 && (ended > maxEnded || text > maxEndedText) {
			cmd.log.Remove()
			delete(s.byID, cmd.id)
			s.commands = slices.Delete(s.commands, i, i+1)
		}
	}
}

func (s *session) endedError() error {
	if s.deleted.Load() {
		return wire.Errorf(http.StatusGone, wire.SessionEnded, "session %q was deleted: create a new one", s.id)
	}
	return wire.Errorf(http.StatusGone, wire.SessionEnded,
		"the shell of session %q has ended with code %d: delete the session and create a new one", s.id, s.shell.ExitCode())
}

// script runs a command in the shell itself, so that what it changes stays.
// eval keeps a command with unbalanced quotes from swallowing the next one; it
// gets the text from a variable, as bash 5.2 corrupts its memory when a literal
// argument of eval ends within "$(". In a POSIX shell eval is a special built-in,
// whose syntax errors end the shell (POSIX.1-2024, 2.8.1); "command" takes that
// away.
func (s *session) script(cmd *command) string {
	eval := "eval"
	if s.posix {
		eval = "command eval"
	}
	return fmt.Sprintf("__daytona_command=%s\n%s \"$__daytona_command\" <%s >%s 2>%s\n\\echo %s $? >%s\n",
		shellescape.Quote(cmd.text), eval, shellescape.Quote(cmd.stdin()), shellescape.Quote(cmd.pipe("out")), shellescape.Quote(cmd.pipe("err")),
		cmd.id, shellescape.Quote(filepath.Join(s.pipes, "status")))
}

// dead tells whether the shell has ended.
func (s *session) dead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

func (s *session) command(id string) *command {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byID[id]
}

func (s *session) view() sessionView {
	s.mu.Lock()
	commands := append([]*command(nil), s.commands...)
	s.mu.Unlock()
	v := sessionView{SessionID: s.id, Commands: make([]commandView, 0, len(commands))}
	for _, cmd := range commands {
		v.Commands = append(v.Commands, cmd.view())
	}
	return v
}

// removeFiles frees what the session has on disk.
func (s *session) removeFiles() {
	s.mu.Lock()
	commands := s.commands
	s.mu.Unlock()
	for _, cmd := range commands {
		<-cmd.done
		cmd.log.Remove()
	}
	os.RemoveAll(s.pipes)
}
