package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notify tells the service manager that started us how we are; without one it does
// nothing.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("notify the service manager", "state", state, "err", err)
	}
}

// How often the service manager is asked for more time to start, and for how much.
const (
	extendPeriod = 20 * time.Second
	extension    = "EXTEND_TIMEOUT_USEC=60000000"
)

// notifyRecovering tells the service manager what goes on before READY, until the
// returned function is called. A recovery of many sandboxes may outlast the time
// that a start has.
func notifyRecovering(log *slog.Logger) (over func()) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(extendPeriod)
		defer tick.Stop()
		for {
			notify(log, "STATUS=recovering: /api/health answers, all else does soon\n"+extension)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { stop(); <-done }
}
