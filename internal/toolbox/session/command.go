package session

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/capture"
	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/logfile"
)

// command is one command of a session. The shell reaches it by three named
// pipes: so each command has its own, although they share a shell, and a
// process in the background keeps writing to the log of its own command.
type command struct {
	id    string
	text  string
	pipes string
	log   *logfile.Log
	toll  launch.Toll // since it began
	cut   atomic.Bool // the shell ended, and not by it

	takesInput   bool // else its input is empty
	suppressEcho bool

	out, errs *capture.Pump
	once      sync.Once
	done      chan struct{} // closed when it has ended and its output is in the log
	code      int           // valid once done is closed

	mu    sync.Mutex
	input *os.File // nil after its end
	hold  []int    // write ends that keep out and errs from ending before the shell opens them
}

// newCommand prepares the pipes and the log of a command.
func (s *session) newCommand(text, logPath string, takesInput, suppressEcho bool) (*command, error) {
	c := &command{id: rand.Text(), text: text, pipes: s.pipes, takesInput: takesInput, suppressEcho: suppressEcho, done: make(chan struct{})}
	var err error
	if c.log, err = logfile.Create(logPath, 0); err != nil {
		return nil, err
	}
	if err := c.openPipes(s); err != nil {
		c.release()
		c.log.Remove()
		return nil, fmt.Errorf("prepare command: %w", err)
	}
	return c, nil
}

func (c *command) openPipes(s *session) error {
	ends := []string{"out", "err"}
	if c.takesInput {
		ends = append(ends, "in")
	}
	for _, end := range ends {
		if err := s.mkfifo(c.id + "." + end); err != nil {
			return err
		}
	}
	var err error
	if c.takesInput {
		// Open for both: the shell need not wait for a writer.
		if c.input, err = os.OpenFile(c.pipe("in"), os.O_RDWR|unix.O_NONBLOCK, 0); err != nil {
			return err
		}
	}
	if c.out, err = c.pump("out", logfile.Stdout); err != nil {
		return err
	}
	c.errs, err = c.pump("err", logfile.Stderr)
	return err
}

func (c *command) pump(end string, stream logfile.Stream) (*capture.Pump, error) {
	r, err := os.OpenFile(c.pipe(end), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	w, err := unix.Open(c.pipe(end), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		r.Close()
		return nil, &os.PathError{Op: "open", Path: c.pipe(end), Err: err}
	}
	c.hold = append(c.hold, w)
	return capture.Start(r, func(p []byte) { c.log.Append(stream, p) }), nil
}

// stdin is the file that the command reads.
func (c *command) stdin() string {
	if c.takesInput {
		return c.pipe("in")
	}
	return "/dev/null"
}

func (c *command) pipe(end string) string { return filepath.Join(c.pipes, c.id+"."+end) }

// finish records the exit code once the output is complete.
func (c *command) finish(code int) {
	c.once.Do(func() {
		c.release()
		why := c.toll.Explain(code)
		go func() {
			c.out.Settle()
			c.errs.Settle()
			c.log.Append(logfile.Stderr, []byte(why))
			c.code = code
			c.log.End()
			close(c.done)
		}()
	})
}

// release lets go of the agent's ends and of the names of the pipes.
func (c *command) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.input != nil {
		c.input.Close()
		c.input = nil
	}
	for _, fd := range c.hold {
		unix.Close(fd)
	}
	c.hold = nil
	for _, end := range []string{"in", "out", "err"} {
		os.Remove(c.pipe(end))
	}
}

// running tells whether the command has not ended yet.
func (c *command) running() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

func (c *command) view() commandView {
	v := commandView{ID: c.id, Command: c.text}
	if !c.running() {
		code := c.code
		v.ExitCode = &code
	}
	return v
}
