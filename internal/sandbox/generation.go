package sandbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/fault"
)

// Generation counts the changes of something that a running sandbox is to have,
// and remembers which of them it was given last. A row in which the two differ
// needs work.
type Generation struct {
	Wanted, Applied int64
}

func (g Generation) pending() bool { return g.Wanted != g.Applied }

// addChanges adds the jobs of what a sandbox is to have and was not given.
func (s *Service) addChanges(sb *Sandbox) {
	if sb.NetworkGeneration.pending() {
		s.jobs.networks.Add(job(sb))
	}
	if sb.SizeGeneration.pending() {
		s.jobs.sizes.Add(job(sb))
	}
}

// applyNetwork is the job that gives a sandbox the network that its row says.
func (s *Service) applyNetwork(ctx context.Context, t *controller.Task) error {
	return s.applySetting(ctx, t.Key, func(sb *Sandbox) *Generation { return &sb.NetworkGeneration }, s.setNetwork)
}

// applySize is the job that gives a sandbox the sizes that its row says. One that
// uses more than that keeps what it has until it uses less or is started again.
func (s *Service) applySize(ctx context.Context, t *controller.Task) error {
	return s.applySetting(ctx, t.Key, func(sb *Sandbox) *Generation { return &sb.SizeGeneration }, s.setSize)
}

func (s *Service) setNetwork(ctx context.Context, sb *Sandbox) error {
	if err := s.config.Engine.SetNetwork(ctx, sb.ID, sb.Network.spec()); err != nil {
		return fmt.Errorf("set network of sandbox %s: %w", sb.ID, err)
	}
	return nil
}

func (s *Service) setSize(ctx context.Context, sb *Sandbox) error {
	err := s.config.Engine.Resize(ctx, sb.ID, spec(sb.Resources))
	small := (*engine.TooSmall)(nil)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &small), errors.Is(err, engine.ErrNoSpace):
		s.config.Log.Warn("a sandbox cannot have its sizes now", "sandbox", sb.ID, "err", err)
		return controller.Permanent(err)
	}
	return fmt.Errorf("resize sandbox %s: %w", sb.ID, err)
}

// applySetting lets the engine have one setting of a sandbox, and writes down that
// it has. A start, which gives a sandbox all its settings, comes before or after.
func (s *Service) applySetting(ctx context.Context, id string, of func(*Sandbox) *Generation, apply func(context.Context, *Sandbox) error) error {
	unlock, err := s.settings.Lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	sb, err := s.config.Store.Sandbox(ctx, id)
	if fault.Is(err, fault.KindNotFound) {
		return nil
	}
	if err != nil || !of(sb).pending() {
		return err
	}
	if err := apply(ctx, sb); err != nil && !errors.Is(err, engine.ErrNotFound) { // which gets it when it is started
		return err
	}
	_, err = s.config.Store.UpdateSandbox(ctx, id, func(now *Sandbox) error {
		of(now).Applied = of(sb).Wanted
		return nil
	})
	return ignoreOvertaken(err)
}
