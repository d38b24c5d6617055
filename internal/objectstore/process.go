package objectstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	startPatience = 10 * time.Second
	// endPatience is more than the library takes to end.
	endPatience = 15 * time.Second
	// idleLife is how long the process is kept when nobody uploads.
	idleLife = 5 * time.Minute
)

// supervisor has an endpoint process while somebody uploads: it is started for
// a connection, again when it has died, and ends when it was idle for a while.
type supervisor struct {
	order order
	idle  time.Duration
	log   *slog.Logger

	mu      chan struct{} // a lock that waits with a context
	process *process
	users   int // connections
	ending  *time.Timer
	closed  bool
}

func newSupervisor(o order, log *slog.Logger) *supervisor {
	return &supervisor{order: o, idle: idleLife, log: log, mu: make(chan struct{}, 1)}
}

var errClosed = errors.New("the context store is closed")

// dial connects to the endpoint, starting it where none runs.
func (s *supervisor) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	p, err := s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := p.dial(ctx)
	if err != nil {
		s.release()
		return nil, err
	}
	return &connection{Conn: conn, release: s.release}, nil
}

func (s *supervisor) acquire(ctx context.Context) (*process, error) {
	select {
	case s.mu <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.mu }()
	if s.closed {
		return nil, errClosed
	}
	if s.process != nil && s.process.ended() {
		s.log.Warn("the endpoint of build contexts ended and is started again", "err", s.process.err)
		s.end()
	}
	if s.process == nil {
		p, err := start(s.order, s.log)
		if err != nil {
			return nil, err
		}
		s.process = p
	}
	if s.ending != nil {
		s.ending.Stop()
	}
	s.users++
	return s.process, nil
}

func (s *supervisor) release() {
	s.mu <- struct{}{}
	defer func() { <-s.mu }()
	if s.users--; s.users == 0 && !s.closed {
		s.ending = time.AfterFunc(s.idle, s.endIdle)
	}
}

func (s *supervisor) endIdle() {
	s.mu <- struct{}{}
	defer func() { <-s.mu }()
	if s.users == 0 && s.process != nil {
		s.end()
	}
}

// end ends the process, or frees what one had that has ended.
func (s *supervisor) end() {
	if err := s.process.end(); err != nil {
		s.log.Warn("end the endpoint of build contexts", "err", err)
	}
	s.process = nil
}

// Close ends the process. Connections end with it.
func (s *supervisor) Close() error {
	s.mu <- struct{}{}
	defer func() { <-s.mu }()
	s.closed = true
	if s.ending != nil {
		s.ending.Stop()
	}
	if s.process == nil {
		return nil
	}
	err := s.process.end()
	s.process = nil
	return err
}

// connection tells when it is closed, once.
type connection struct {
	net.Conn
	release func()
	once    sync.Once
}

// Write pretends to have written what the endpoint did not wait for: it answers
// an object of no bytes, and a request that it refuses, without reading the body,
// and closes the connection. The transport would report the failed write and lose
// the answer, which is there to be read; where it is not, reading fails.
func (c *connection) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		return len(b), nil
	}
	return n, err
}

func (c *connection) Close() error {
	defer c.once.Do(c.release)
	return c.Conn.Close()
}

// process is one endpoint that runs, or has ended.
type process struct {
	pid      int
	lifeline *os.File // its input, which ends it
	socket   *os.File // which is in its root, where nobody else looks
	kill     func() error
	done     chan struct{}
	err      error // why it ended; read after done
}

func start(o order, log *slog.Logger) (*process, error) {
	p, err := tryStart(o, log)
	if err != nil {
		return nil, fmt.Errorf("start the endpoint of build contexts: %w", err)
	}
	return p, nil
}

func tryStart(o order, log *slog.Logger) (_ *process, err error) {
	in, lifeline, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	ready, tells, err := os.Pipe()
	if err != nil {
		lifeline.Close()
		return nil, err
	}
	defer ready.Close()
	said := &lines{log: log}
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", // also where the file was replaced by a newer one
		Args: []string{endpointName}, Dir: "/",
		Env:   []string{"GODEBUG=containermaxprocs=0,updatemaxprocs=0"}, // which keep files of the host's open
		Stdin: in, Stdout: said, Stderr: said, ExtraFiles: []*os.File{tells},
		SysProcAttr: &syscall.SysProcAttr{Cloneflags: endpointNamespaces, Pdeathsig: syscall.SIGKILL},
	}
	p := &process{lifeline: lifeline, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The signal of Pdeathsig comes at the end of the thread.
		runtime.LockOSThread()
		defer close(p.done)
		err := cmd.Start()
		tells.Close()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		lifeline.Close()
		return nil, err
	}
	p.pid, p.kill = cmd.Process.Pid, cmd.Process.Kill
	defer func() {
		if err != nil {
			err = errors.Join(err, p.end())
		}
	}()
	if err := json.NewEncoder(lifeline).Encode(o); err != nil {
		return nil, err
	}
	if err := ready.SetReadDeadline(time.Now().Add(startPatience)); err != nil {
		return nil, err
	}
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		return nil, errNotReady // it has said why, in the log
	}
	p.socket, err = os.OpenFile(fmt.Sprintf("/proc/%d/root%s", p.pid, socketPath), unix.O_PATH, 0)
	return p, err
}

func (p *process) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d", p.socket.Fd()))
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// errNotReady says that the process ended, or said nothing, before it served.
var errNotReady = errors.New("it did not get ready")

// end asks the process to end, kills it when it does not, and frees what it had.
func (p *process) end() error {
	err := p.lifeline.Close()
	if p.socket != nil {
		err = errors.Join(err, p.socket.Close())
	}
	select {
	case <-p.done:
		return err
	case <-time.After(endPatience):
	}
	err = errors.Join(err, p.kill())
	<-p.done
	return err
}

// lines are what the process says.
type lines struct{ log *slog.Logger }

func (l *lines) Write(b []byte) (int, error) {
	const most = 2048
	l.log.Warn("the endpoint of build contexts says", "text", strings.TrimSpace(string(b[:min(len(b), most)])))
	return len(b), nil
}
