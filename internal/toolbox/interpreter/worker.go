package interpreter

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/capture"
	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/proc"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// program is what Python runs. It reads requests from descriptor 3 and reports
// there.
//
//go:embed worker.py
var program string

// loader reads the program from descriptor 4: as an argument it would fill every
// list of processes.
const loader = `import os;exec(compile(os.fdopen(4).read(),"<daytona>","exec"),{"__name__":"daytona"})`

const (
	patience    = 30 * time.Second // for Python's start
	nudge       = time.Second      // between an interrupt and the next, and from that to the end
	maxReport   = 512 << 10        // bytes of a line from the program; its own are shorter
	slowClient  = 1500 * time.Millisecond
	closingTime = 500 * time.Millisecond
)

// worker is a Python process.
type worker struct {
	launcher *launch.Launcher
	process  *proc.Process
	channel  *os.File
	out      *outlets

	began    chan struct{} // closed when it can run code
	finished chan struct{} // gets a value at the end of each run
	over     chan struct{} // closed when it has ended and all its reports are read
	broke    bool          // it ended the connection, not itself; valid once over is closed

	// Of the run that goes on, or was the last one.
	toll   launch.Toll
	blamed bool // it was told of the worker's end
}

// report is a line from the program.
type report struct {
	Type      string `json:"type"`   // ready, order, error, done
	Number    int64  `json:"number"` // of an order
	Name      string `json:"name"`
	Value     string `json:"value"`
	Traceback string `json:"traceback"`
}

// startWorker starts Python and waits until it can run code.
func startWorker(ctx context.Context, l *launch.Launcher, dir string) (*worker, error) {
	python := l.Find("python3", "python")
	if python == "" {
		return nil, wire.Errorf(http.StatusInternalServerError, wire.Internal,
			"this sandbox has no Python: install it (apt-get install python3, apk add python3, dnf install python3), or use a snapshot whose image has python3 in its PATH")
	}
	w := &worker{launcher: l, began: make(chan struct{}), finished: make(chan struct{}, 1), over: make(chan struct{}), toll: l.Toll()}
	var said beginning
	if err := w.start(python, dir, &said); err != nil {
		return nil, err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var err error
	select {
	case <-w.began:
		w.out.begin(nil)
		return w, nil
	case <-w.over:
		w.out.finish()
		err = wire.Errorf(http.StatusInternalServerError, wire.Internal, "Python does not start: %s (%s %s)", &said, python, w.end())
	case <-timer.C:
		err = wire.Errorf(http.StatusInternalServerError, wire.Internal, "%s did not begin to run within %s: the sandbox may be too busy; try again", python, patience)
	case <-ctx.Done():
		err = fmt.Errorf("start %s: %w", python, ctx.Err())
	}
	w.kill()
	return nil, err
}

func (w *worker) start(python, dir string, to receiver) (err error) {
	u, err := w.launcher.User()
	if err != nil {
		return err
	}
	var held []int
	defer func() {
		for _, fd := range held {
			unix.Close(fd)
		}
	}()
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/null: %w", err)
	}
	held = append(held, null)
	source, feed, err := capture.Feed()
	if err != nil {
		return err
	}
	held = append(held, source)
	go func() {
		_, _ = io.WriteString(feed, program) // a process that does not read it says why
		feed.Close()
	}()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a connection to the interpreter: %w", err)
	}
	held = append(held, pair[1])
	if err := unix.SetNonblock(pair[0], true); err != nil {
		unix.Close(pair[0])
		return fmt.Errorf("make a connection to the interpreter: %w", err)
	}
	w.channel = os.NewFile(uintptr(pair[0]), "interpreter")
	out, fds, err := openOutlets(u.UID)
	if err != nil {
		w.channel.Close()
		return err
	}
	held = append(held, fds[:]...)
	w.out = out
	w.out.begin(to)
	w.process, err = w.launcher.Start(launch.Command{
		Argv: []string{python, "-c", loader}, Dir: dir,
		Files: []uintptr{uintptr(null), uintptr(fds[0]), uintptr(fds[1]), uintptr(pair[1]), uintptr(source)},
	})
	if err != nil {
		w.channel.Close()
		return err
	}
	go w.listen()
	go func() {
		<-w.process.Done()
		// Its last reports are there already; a fork of it may hold the connection open.
		_ = w.channel.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	}()
	return nil
}

// listen reads what the program reports until it has ended, or has written what
// it never would; then nothing of the process is left. Before each report what was
// printed until then is passed on.
func (w *worker) listen() {
	in := bufio.NewReaderSize(w.channel, 4<<10)
	for {
		r, err := readReport(in)
		if err != nil || !w.heed(r) {
			break
		}
	}
	select {
	case <-w.process.Done():
	case <-time.After(100 * time.Millisecond): // its end comes with that of the connection
	}
	alive := w.alive()
	w.process.KillTree(0)
	<-w.process.Done()
	w.broke = alive && w.process.ExitCode() == 128+int(unix.SIGKILL)
	w.channel.Close()
	close(w.over)
}

func (w *worker) heed(r report) bool {
	switch r.Type {
	case "ready":
		select {
		case <-w.began:
			return false
		default:
			close(w.began)
		}
	case "order":
		w.out.drain()
		_, err := fmt.Fprintf(w.channel, "{\"number\":%d}\n", r.Number)
		return err == nil
	case "error":
		w.out.drain()
		w.out.fail(failure{r.Name, r.Value, r.Traceback})
	case "done":
		w.out.finish()
		select {
		case w.finished <- struct{}{}:
		default: // nobody waits for it
		}
	default:
		return false
	}
	return true
}

func readReport(in *bufio.Reader) (r report, err error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return r, json.Unmarshal(line, &r)
		case !errors.Is(err, bufio.ErrBufferFull):
			return r, err
		case len(line) > maxReport:
			return r, errors.New("a report is too long")
		}
	}
}

func (w *worker) alive() bool {
	select {
	case <-w.process.Done():
		return false
	default:
		return true
	}
}

// task is code to run.
type task struct {
	line    []byte        // the request for the program
	timeout time.Duration // 0 is none
}

// outcome is how a run ended.
type outcome struct {
	err      error // it did not run to an end
	timedOut bool
	lost     string // what became of the process, when it has ended
}

// run runs code. When the timeout passes, the code is interrupted as by Ctrl+C in a
// terminal, first alone and then with the programs in its process group, which it may
// be waiting for; at last the process is killed.
func (w *worker) run(deleted context.Context, t task, to *client) outcome {
	select {
	case <-w.finished: // code that reports by itself
	default:
	}
	w.toll = w.launcher.Toll()
	w.out.begin(to)
	go func() { _, _ = w.channel.Write(t.line) }() // fails with the process only
	var expired <-chan time.Time
	if t.timeout > 0 {
		timer := time.NewTimer(t.timeout)
		defer timer.Stop()
		expired = timer.C
	}
	for attempt := 0; ; {
		select {
		case <-w.finished:
			return outcome{timedOut: attempt > 0}
		case <-w.over:
			to.hurry(slowClient)
			w.out.finish()
			w.blamed = true
			return outcome{timedOut: attempt > 0, lost: w.end()}
		case <-deleted.Done():
			to.hurry(slowClient)
			w.kill()
			w.out.finish()
			return outcome{err: errDeleted}
		case <-expired:
			switch attempt++; attempt {
			case 1:
				to.hurry(slowClient)
				w.process.Signal(unix.SIGINT, false)
			case 2:
				w.process.Signal(unix.SIGINT, true)
			default:
				w.process.KillTree(0)
			}
			expired = time.After(nudge)
		}
	}
}

// end completes "the process …", once it has ended.
func (w *worker) end() string {
	<-w.over
	code := w.process.ExitCode()
	if why := w.toll.Explain(code); why != "" {
		return "was " + strings.TrimSpace(why)
	}
	switch {
	case w.broke:
		return "was ended, as it had closed its connection to the sandbox's agent or misused it"
	case code > 128:
		if name := unix.SignalName(syscall.Signal(code - 128)); name != "" {
			return fmt.Sprintf("ended with exit code %d (%s)", code, name)
		}
	}
	return fmt.Sprintf("ended with exit code %d", code)
}

// kill ends the process with all that it has started.
func (w *worker) kill() {
	w.process.KillTree(0)
	<-w.over
}

// close lets a process that runs nothing end as a program does, which writes its
// files to their end, and kills what is left.
func (w *worker) close() {
	if raw, err := w.channel.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
	}
	select {
	case <-w.process.Done():
	case <-time.After(closingTime):
	}
	w.kill()
}

// beginning keeps the first of what Python says when it starts.
type beginning struct{ text bytes.Buffer }

func (b *beginning) output(_ string, p []byte) {
	const most = 1 << 10
	b.text.Write(p[:min(len(p), most-min(most, b.text.Len()))])
}

func (b *beginning) failed(failure) {}

func (b *beginning) String() string { return strings.TrimSpace(b.text.String()) }
