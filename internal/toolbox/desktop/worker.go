package desktop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/desktop/link"
	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/proc"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

const (
	// idlePatience is how long a worker stays that nobody asks anything.
	idlePatience = 2 * time.Minute
	// endPatience is how long one has that was asked to end: a recording's
	// encoder takes some seconds.
	endPatience = 12 * time.Second
)

// worker is the process of package worker while it runs.
type worker struct {
	display string
	process *proc.Process
	dialer  *link.Dialer
	proxy   *httputil.ReverseProxy
	client  *http.Client
}

// workers has at most one worker that takes requests.
type workers struct {
	start func() (*worker, error)
	idle  time.Duration

	mu      sync.Mutex
	current *worker // nil when there is none
	using   int     // requests that it serves
	timer   *time.Timer
}

// use is the worker, started if there is none that runs, until done is called.
func (s *workers) use() (w *worker, done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		select {
		case <-s.current.process.Done():
			slog.Warn("the desktop's worker has ended and is started again", "exit code", s.current.process.ExitCode())
			s.current.close()
			s.current, s.using = nil, 0
		default:
		}
	}
	if s.current == nil {
		if s.current, err = s.start(); err != nil {
			s.current = nil
			return nil, nil, err
		}
	}
	w = s.current
	s.using++
	if s.timer != nil {
		s.timer.Stop()
	}
	return w, func() { s.leave(w) }, nil
}

func (s *workers) leave(w *worker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != w {
		return
	}
	if s.using--; s.using == 0 {
		s.timer = time.AfterFunc(s.idle, s.endIdle)
	}
}

// endIdle ends a worker that nobody uses.
func (s *workers) endIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil || s.using > 0 {
		return
	}
	if s.current.held() {
		s.timer = time.AfterFunc(s.idle, s.endIdle)
		return
	}
	s.current.close()
	go s.current.kill(endPatience)
	s.current = nil
}

// endElsewhere ends a worker of another display than that.
func (s *workers) endElsewhere(display string) {
	s.mu.Lock()
	elsewhere := s.current != nil && s.current.display != display
	s.mu.Unlock()
	if elsewhere {
		s.end()
	}
}

// end ends the worker and returns when it is gone.
func (s *workers) end() {
	s.mu.Lock()
	w := s.current
	s.current, s.using = nil, 0
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	if w != nil {
		w.close()
		w.kill(endPatience)
	}
}

// close asks the worker to end.
func (w *worker) close() {
	w.dialer.Close()
	w.client.CloseIdleConnections()
}

// kill ends what has not ended by itself.
func (w *worker) kill(patience time.Duration) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-w.process.Done():
	case <-timer.C:
		slog.Warn("the desktop's worker did not end when it was asked, and is killed")
	}
	w.process.KillTree(0)
}

// held asks the worker whether something goes on that needs it. One that does not
// answer needs nothing any more.
func (w *worker) held() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var answer struct {
		Held bool `json:"held"`
	}
	return w.ask(ctx, "/held", &answer) == nil && answer.Held
}

// ready returns when the worker finds that a window manager runs.
func (s *workers) ready(ctx context.Context) error {
	w, done, err := s.use()
	if err != nil {
		return err
	}
	defer done()
	return w.ask(ctx, "/ready", &struct{}{})
}

// ask sends the worker a request of the agent itself.
func (w *worker) ask(ctx context.Context, path string, answer any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://worker"+path, nil)
	if err != nil {
		return err
	}
	res, err := w.client.Do(r)
	if err != nil {
		return fmt.Errorf("ask the desktop's worker: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the desktop's worker answers %s with %s", path, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(answer)
}

// ownProgram is the program of whoever opens it, wherever its file is and whoever
// may go there.
const ownProgram = "/proc/self/exe"

// startWorker runs one.
func (s *Service) startWorker() (*worker, error) {
	env, err := s.environment()
	if current := s.running(); current != nil {
		env, err = current.env, nil // the variables may have changed since the desktop was started
	}
	if err != nil {
		return nil, err
	}
	dialer, far, err := link.New()
	if err != nil {
		return nil, err
	}
	defer unix.Close(far)
	logs, err := s.openLogs("worker")
	if err != nil {
		dialer.Close()
		return nil, err
	}
	defer logs.close()
	p, err := s.launcher.Start(launch.Command{
		Argv: []string{ownProgram, link.Argument}, Env: env, Dir: "/",
		Files: []uintptr{logs.null.Fd(), logs.out.Fd(), logs.err.Fd(), uintptr(far)},
	})
	if err != nil {
		dialer.Close()
		return nil, fmt.Errorf("start the desktop's worker: %w", err)
	}
	transport := &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return dialer.Dial() },
		IdleConnTimeout:   10 * time.Second,
		DisableKeepAlives: false, DisableCompression: true,
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "worker"})
	proxy.Transport, proxy.FlushInterval = transport, -1
	proxy.ErrorHandler = workerFailed
	return &worker{display: env["DISPLAY"], process: p, dialer: dialer, proxy: proxy, client: &http.Client{Transport: transport}}, nil
}

// workerFailed answers a request that the worker did not.
func workerFailed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		err = wire.Errorf(http.StatusRequestTimeout, wire.RequestTimeout, "the client went away")
	} else {
		var known *wire.Error
		if !errors.As(err, &known) {
			err = wire.Errorf(http.StatusInternalServerError, wire.Internal,
				"the process that speaks with the desktop ended while it served this request (%v): look whether it was carried out before you send it again", err)
		}
	}
	wire.Fail(w, r, err)
}
