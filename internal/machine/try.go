package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/opendaytona/daytona/internal/durable"
	"github.com/opendaytona/daytona/internal/engine/local"
)

// Prober is an engine that can try itself.
type Prober interface {
	Probe(ctx context.Context) []local.Requirement
	Surroundings() (string, error)
}

// Try starts a sandbox before anybody asks for one: at the first start,
// and when the kernel, the OCI runtime or the server itself is another than the
// one with which it worked last. A machine that fails does not end the server,
// which has sandboxes that run and people to tell: the log and readiness do.
// Nothing else uses the engine yet.
//
// unfit is why no sandbox can be started here; path is where what worked is kept.
func Try(ctx context.Context, engine Prober, path string, log *slog.Logger) (unfit, err error) {
	now, err := engine.Surroundings()
	if err != nil {
		return nil, err
	}
	kept, err := os.ReadFile(path)
	if err == nil && string(kept) == now {
		return nil, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read with what sandboxes last worked: %w", err)
	}
	proved := true
	for _, r := range engine.Probe(ctx) {
		switch {
		case r.OK:
			continue
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case r.Optional:
			log.Warn("it is not known whether sandboxes work on this machine: the next start tries again", "what", r.Name, "why", r.Detail)
		case unfit == nil:
			unfit = fmt.Errorf("%s: %s", r.Name, r.Detail)
			log.Error("SANDBOXES DO NOT WORK ON THIS MACHINE: mend it, then restart the server", "what", r.Name, "why", r.Detail)
		}
		proved = false
	}
	if !proved {
		return unfit, nil
	}
	log.Info("a sandbox and a build step were started and removed to try this machine: they work")
	return nil, durable.WriteFile(path, []byte(now), 0o600)
}
