package sandbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/fault"
)

// ResizeParams are the sizes somebody asks for: cores, and GiB of memory and
// disk. Nil fields stay as they are.
type ResizeParams struct {
	CPU, Memory, Disk *int
}

func (p ResizeParams) create() CreateParams {
	return CreateParams{CPU: p.CPU, Memory: p.Memory, Disk: p.Disk}
}

func (p ResizeParams) validate() error {
	given := false
	for _, r := range p.create().asked() {
		given = given || r.value != nil
		if err := r.validate(); err != nil {
			return err
		}
	}
	if !given {
		return fault.Invalid("", "Give cpu, memory or disk.")
	}
	return nil
}

// Resize changes the sizes of a sandbox; of one that runs at once, without a
// restart. Memory and disk cannot become less than what is in use. Errors:
// fault of kind Invalid, NotFound, Quota, Conflict (neither started nor
// stopped).
func (s *Service) Resize(ctx context.Context, organizationID, idOrName string, p ResizeParams) (*Sandbox, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	found, err := s.Get(ctx, organizationID, idOrName)
	if err != nil {
		return nil, err
	}
	// One at a time, so that a refused one can go back to what was before.
	unlock, err := s.sizes.Lock(ctx, found.ID)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if found, err = s.Get(ctx, organizationID, found.ID); err != nil {
		return nil, err
	}
	was, want := found.Resources, p.create().resources(found.Resources)
	allow, err := s.Limits.CheckSandbox(want)
	if err != nil {
		return nil, err
	}
	sb, err := s.Store.ResizeSandbox(ctx, found.ID, func(sb *Sandbox, others Usage) error {
		if sb.Desired == DesiredDestroyed || sb.State != StateStarted && sb.State != StateStopped {
			return fault.Conflict("SANDBOX_STATE", fmt.Sprintf("Sandbox %s is %s: wait until it is started or stopped, then resize it.", sb.Name, sb.State))
		}
		if want.CPU > was.CPU || want.Memory > was.Memory || want.Disk > was.Disk {
			if err := allow(others); err != nil {
				return err
			}
		}
		sb.Resources, sb.UpdatedAt = want, s.Clock.Now()
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.Engine.Resize(ctx, sb.ID, want.spec()); err != nil {
		return nil, errors.Join(refused(err, want), s.restore(context.WithoutCancel(ctx), sb.ID, was))
	}
	s.note(ctx, sb)
	s.activity.refresh(sb)
	return sb, nil
}

// restore goes back to the sizes that were before a resize that failed.
func (s *Service) restore(ctx context.Context, id string, was Resources) error {
	_, err := s.Store.ResizeSandbox(ctx, id, func(sb *Sandbox, _ Usage) error {
		sb.Resources = was
		return nil
	})
	if err == nil {
		err = s.Engine.Resize(ctx, id, was.spec())
	}
	if fault.Is(err, fault.KindNotFound) || errors.Is(err, engine.ErrNotFound) {
		return nil
	}
	return err
}

// refused tells people why a sandbox cannot have the sizes.
func refused(err error, want Resources) error {
	if errors.Is(err, engine.ErrNoSpace) {
		return &fault.Error{Kind: fault.KindNoSpace, Code: "NO_SPACE", Message: "The server's disk pool has no space for a larger disk: delete sandboxes, or ask the administrator to enlarge the pool.", Err: err}
	}
	small := (*engine.TooSmall)(nil)
	if !errors.As(err, &small) {
		return err
	}
	asked, remedy := want.Memory, "end some of its processes, or stop it first"
	if small.Resource == "disk" {
		asked, remedy = want.Disk, "delete files first"
	}
	return fault.Invalid(small.Resource, fmt.Sprintf("%s cannot be %d GiB: the sandbox uses %.2f GiB of it now; %s.",
		small.Resource, asked, float64(small.Used)/gib, remedy))
}

// syncSize lets the engine have the sizes that the row has: a change may have
// been written and not been made. What a running sandbox has outgrown
// meanwhile is made at its next start.
func (s *Service) syncSize(ctx context.Context, id string) error {
	unlock, err := s.sizes.Lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	sb, err := s.Store.Sandbox(ctx, id)
	if fault.Is(err, fault.KindNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	err = s.Engine.Resize(ctx, id, sb.Resources.spec())
	if small := (*engine.TooSmall)(nil); errors.As(err, &small) {
		s.Log.Warn("the sandbox keeps its sizes until it is started again", "sandbox", id, "err", err)
		return nil
	}
	return err
}
