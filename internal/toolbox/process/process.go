// Package process runs one command line or one piece of code and answers with
// its output. Sessions, which keep a shell, are in package session; who runs
// what and where is decided in package launch.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/capture"
	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/proc"
	"github.com/opendaytona/daytona/internal/toolbox/spool"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// Service answers /process/execute and /process/code-run.
type Service struct {
	launcher *launch.Launcher
	node     nodeVersions
}

// New makes the service.
func New(l *launch.Launcher) *Service { return &Service{launcher: l} }

// Register adds the service's routes.
func (s *Service) Register(mux *http.ServeMux) {
	mux.Handle("POST /process/execute", wire.Handler(s.execute))
	mux.Handle("POST /process/code-run", wire.Handler(s.codeRun))
}

// run is one command: its standard input is the end of file unless stdin is
// given, and output gets its standard output and error in the order of writing.
type run struct {
	command launch.Command // without Files
	stdin   int            // descriptor, -1 for none; closed by start
	extra   []int          // descriptors 3 and on; closed by start
	timeout time.Duration  // 0 is no limit
	output  *spool.Buffer
}

// start runs r to its end and returns the exit code. When ctx ends or the
// timeout passes, the process and all its descendants are killed.
func (s *Service) start(ctx context.Context, r run) (int, error) {
	held := r.extra
	if r.stdin >= 0 {
		held = append(held, r.stdin)
	}
	release := func() {
		for _, fd := range held {
			unix.Close(fd)
		}
		held = nil
	}
	defer release()

	if r.stdin < 0 {
		null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return 0, fmt.Errorf("open /dev/null: %w", err)
		}
		held = append(held, null)
		r.stdin = null
	}
	u, err := s.launcher.User()
	if err != nil {
		return 0, err
	}
	out, in, err := capture.Pipe(u.UID)
	if err != nil {
		return 0, err
	}
	held = append(held, in)
	r.command.Files = []uintptr{uintptr(r.stdin), uintptr(in), uintptr(in)}
	for _, fd := range r.extra {
		r.command.Files = append(r.command.Files, uintptr(fd))
	}
	toll := s.launcher.Toll()
	p, err := s.launcher.Start(r.command)
	if err != nil {
		out.Close()
		return 0, err
	}
	release()
	pump := capture.Start(out, r.output.Append)

	var expired <-chan time.Time
	if r.timeout > 0 {
		timer := time.NewTimer(r.timeout)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-p.Done():
		pump.Settle()
		r.output.Append([]byte(toll.Explain(p.ExitCode())))
		return p.ExitCode(), nil
	case <-expired:
		kill(p)
		return 0, wire.Errorf(http.StatusRequestTimeout, wire.ProcessExecutionTimeout,
			"the command was still running after %s and was killed: give a longer timeout, or run it in a session", r.timeout)
	case <-ctx.Done():
		kill(p)
		return 0, wire.Errorf(http.StatusRequestTimeout, wire.RequestTimeout, "the client went away and the command was killed")
	}
}

// kill ends p and all its descendants. Clients wait for some seconds only after a
// timeout; what is stuck in the kernel may end later.
func kill(p *proc.Process) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		p.KillTree(0)
	}()
	select {
	case <-gone:
	case <-time.After(2 * time.Second):
	}
}

// seconds turns the timeout of a request into a duration; none is no limit.
func seconds(n *int64) (time.Duration, error) {
	const most = 10 * 365 * 24 * 60 * 60
	switch {
	case n == nil:
		return 0, nil
	case *n < 0:
		return 0, wire.Bad("timeout must be a number of seconds, or 0 for no limit; it is %d", *n)
	case *n > most:
		return 0, nil
	}
	return time.Duration(*n) * time.Second, nil
}

// answer writes the members of a JSON object, of which result is a stream.
func answer(w http.ResponseWriter, code int, result io.Reader, rest func(io.Writer) error) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, err := fmt.Fprintf(w, `{"exitCode":%d,"result":`, code)
	err = errors.Join(err, wire.Text(w, result))
	if rest != nil {
		err = errors.Join(err, rest(w))
	}
	_, end := io.WriteString(w, "}\n")
	if errors.Join(err, end) != nil {
		panic(http.ErrAbortHandler) // the client must not take half an answer for a whole one
	}
}
