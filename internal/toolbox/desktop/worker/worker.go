// Package worker is the process that speaks with the desktop: it looks at the
// screen, moves the mouse and presses keys. It is the agent's own program in
// another mode, so that what it needs in memory is there only while somebody
// uses the desktop. The contract with the agent is package desktop.
package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/desktop/link"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// patience is how long requests have to end when the worker does.
const patience = 2 * time.Second

// Holds counts the reasons for which a worker that nobody asks anything must
// stay, such as a recording that goes on.
type Holds struct{ n atomic.Int64 }

// Hold adds a reason until release is called, once.
func (h *Holds) Hold() (release func()) {
	h.n.Add(1)
	return func() { h.n.Add(-1) }
}

// Run serves until the agent ends the link or is gone, or asks by SIGTERM.
func Run() error {
	listener, err := link.Listen(link.FD)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	defer stop()
	var holds Holds
	mux := http.NewServeMux()
	mux.HandleFunc("GET /held", func(w http.ResponseWriter, _ *http.Request) {
		wire.JSON(w, http.StatusOK, map[string]bool{"held": holds.n.Load() > 0})
	})
	end := register(ctx, mux, &holds)
	defer end()
	srv := &http.Server{Handler: mux}
	go func() {
		<-ctx.Done()
		listener.Close()
	}()
	err = srv.Serve(listener)
	last, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if serr := srv.Shutdown(last); serr != nil && !errors.Is(serr, context.DeadlineExceeded) {
		fmt.Fprintln(os.Stderr, "end requests:", serr)
	}
	if errors.Is(err, io.EOF) || ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serve: %w", err)
}
