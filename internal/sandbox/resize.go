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
	if err := s.recovered(ctx, found.ID); err != nil {
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
	allow, err := s.config.Limits.CheckSandbox(want)
	if err != nil {
		return nil, err
	}
	sb, err := s.config.Store.ResizeSandbox(ctx, found.ID, func(sb *Sandbox, others Usage) error {
		if sb.Desired == DesiredDestroyed || sb.State != StateStarted && sb.State != StateStopped {
			return fault.Conflict("SANDBOX_STATE", fmt.Sprintf("Sandbox %s is %s: wait until it is started or stopped, then resize it.", sb.Name, sb.State))
		}
		if want.CPU > was.CPU || want.Memory > was.Memory || want.Disk > was.Disk {
			if err := allow(others); err != nil {
				return err
			}
		}
		sb.Resources, sb.UpdatedAt = want, s.config.Clock.Now()
		sb.SizeGeneration.Wanted++
		return nil
	})
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, syncPatience)
	defer cancel()
	if err := s.jobs.sizes.Do(limited, job(sb)); err != nil {
		return nil, errors.Join(refused(err, want), s.restore(context.WithoutCancel(ctx), sb, was))
	}
	s.note(ctx, sb)
	s.activity.refresh(sb)
	return sb, nil
}

// restore goes back to the sizes that were before a resize that failed.
func (s *Service) restore(ctx context.Context, sb *Sandbox, was Resources) error {
	_, err := s.config.Store.ResizeSandbox(ctx, sb.ID, func(sb *Sandbox, _ Usage) error {
		sb.Resources = was
		sb.SizeGeneration.Wanted++
		return nil
	})
	s.jobs.sizes.Add(job(sb))
	return ignoreOvertaken(err)
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
