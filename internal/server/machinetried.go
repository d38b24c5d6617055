package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/opendaytona/daytona/internal/config"

	"github.com/opendaytona/daytona/internal/durable"
	"github.com/opendaytona/daytona/internal/engine/local"
)

// prober is an engine that can try itself.
type prober interface {
	Probe(ctx context.Context) []local.Requirement
	Surroundings() (string, error)
}

// tryMachine starts a sandbox before anybody asks for one: at the first start,
// and when the kernel, the OCI runtime or the server itself is another than the
// one with which it worked last. A machine that fails does not end the server,
// which has sandboxes that run and people to tell: the log and readiness do.
// Nothing else uses the engine yet.
func (s *server) tryMachine(ctx context.Context) error {
	engine, ok := s.engine.(prober)
	if !ok {
		return nil
	}
	now, err := engine.Surroundings()
	if err != nil {
		return err
	}
	path := s.Below(config.TriedName)
	kept, err := os.ReadFile(path)
	if err == nil && string(kept) == now {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read with what sandboxes last worked: %w", err)
	}
	proved := true
	for _, r := range engine.Probe(ctx) {
		switch {
		case r.OK:
			continue
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case r.Optional:
			s.log.Warn("it is not known whether sandboxes work on this machine: the next start tries again", "what", r.Name, "why", r.Detail)
		case s.unfit == nil:
			s.unfit = fmt.Errorf("%s: %s", r.Name, r.Detail)
			s.log.Error("SANDBOXES DO NOT WORK ON THIS MACHINE: mend it, then restart the server", "what", r.Name, "why", r.Detail)
		}
		proved = false
	}
	if !proved {
		return nil
	}
	s.log.Info("a sandbox and a build step were started and removed to try this machine: they work")
	return durable.WriteFile(path, []byte(now), 0o600)
}
