package sandbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// Fork records a sandbox that begins with a copy of another's disk and is like
// it in everything but its id, name and processes; the reconciler makes it.
// Errors: fault of kind Invalid (name), NotFound, Quota, Conflict (name taken, or
// the sandbox is neither started nor stopped).
func (s *Service) Fork(ctx context.Context, organizationID, idOrName, name string) (*Sandbox, error) {
	if err := (CreateParams{Name: name}).validate(); err != nil {
		return nil, err
	}
	parent, err := s.whole(ctx, organizationID, idOrName, "fork")
	if err != nil {
		return nil, err
	}
	if parent.EnvLost {
		return nil, fault.Conflict("SANDBOX_ENV_SEALED", envLost)
	}
	now := s.config.Clock.Now()
	fork := *parent
	fork.ID, fork.Name = uuid.NewString(), name
	if name == "" {
		fork.Name = fork.ID
	}
	fork.ParentID, fork.RootID, fork.CopyOf = parent.ID, parent.RootID, parent.ID
	if fork.RootID == "" {
		fork.RootID = parent.ID
	}
	fork.WarmPoolID, fork.Claimed = "", false
	fork.NetworkGeneration, fork.SizeGeneration = Generation{}, Generation{}
	fork.State, fork.Desired, fork.ErrorReason, fork.Recoverable = StateCreating, DesiredStarted, "", false
	fork.Entrypoint, fork.Network.Allow = slices.Clone(parent.Entrypoint), slices.Clone(parent.Network.Allow)
	fork.Env, fork.Labels = maps.Clone(parent.Env), maps.Clone(parent.Labels)
	fork.CreatedAt, fork.UpdatedAt, fork.LastActivityAt, fork.StoppedAt = now, now, now, nil
	if parent.DestroyAt != nil {
		at := now.Add(parent.DestroyAt.Sub(parent.CreatedAt))
		fork.DestroyAt = &at
	}
	allow, err := s.config.Limits.CheckSandbox(fork.Resources)
	if err != nil {
		return nil, err
	}
	if err := s.config.Store.InsertFork(ctx, &fork, allow); err != nil {
		return nil, fmt.Errorf("fork sandbox %s: %w", parent.ID, err)
	}
	s.config.Events.SandboxCreated(&fork)
	s.jobs.rows.Add(job(&fork))
	return &fork, nil
}

// whole finds a sandbox whose disk can be copied.
func (s *Service) whole(ctx context.Context, organizationID, idOrName, what string) (*Sandbox, error) {
	sb, err := s.Get(ctx, organizationID, idOrName)
	if err != nil {
		return nil, err
	}
	if err := s.recovered(ctx, sb.ID); err != nil {
		return nil, err
	}
	if sb, err = s.Get(ctx, organizationID, sb.ID); err != nil {
		return nil, err
	}
	if sb.Desired == DesiredDestroyed || sb.State != StateStarted && sb.State != StateStopped {
		return nil, fault.Conflict("SANDBOX_STATE", fmt.Sprintf("Sandbox %s is %s: wait until it is started or stopped, then %s it.", sb.Name, sb.State, what))
	}
	return sb, nil
}

// Forks lists a sandbox's forks, the oldest first; with destroyed also those
// that are gone, as long as one of their line is there. Errors: fault of kind
// NotFound.
func (s *Service) Forks(ctx context.Context, organizationID, idOrName string, destroyed bool) ([]*Sandbox, error) {
	sb, err := s.kin(ctx, organizationID, idOrName)
	if err != nil {
		return nil, err
	}
	return s.config.Store.Forks(ctx, organizationID, sb.ID, destroyed)
}

// Parent is the sandbox that one was forked from, also when it is destroyed.
// Errors: fault of kind NotFound, also when it is no fork.
func (s *Service) Parent(ctx context.Context, organizationID, idOrName string) (*Sandbox, error) {
	sb, err := s.kin(ctx, organizationID, idOrName)
	if err != nil {
		return nil, err
	}
	if sb.ParentID == "" {
		return nil, fault.NotFound("SANDBOX_PARENT", fmt.Sprintf("Sandbox %s has no parent: it is not a fork.", sb.Name))
	}
	return s.config.Store.Kin(ctx, organizationID, sb.ParentID)
}

// Ancestors are a sandbox's parent, the parent's parent and so on; none for one
// that is no fork. Errors: fault of kind NotFound.
func (s *Service) Ancestors(ctx context.Context, organizationID, idOrName string) ([]*Sandbox, error) {
	sb, err := s.kin(ctx, organizationID, idOrName)
	if err != nil {
		return nil, err
	}
	var line []*Sandbox
	for sb.ParentID != "" {
		if sb, err = s.config.Store.Kin(ctx, organizationID, sb.ParentID); err != nil {
			return nil, err
		}
		line = append(line, sb)
	}
	return line, nil
}

// kin finds a sandbox by id or name, and a destroyed one by id.
func (s *Service) kin(ctx context.Context, organizationID, idOrName string) (*Sandbox, error) {
	sb, err := s.Get(ctx, organizationID, idOrName)
	if fault.Is(err, fault.KindNotFound) {
		return s.config.Store.Kin(ctx, organizationID, idOrName)
	}
	return sb, err
}

// Snapshot asks for a snapshot of the sandbox as it is. The sandbox is in
// StateSnapshotting until the snapshot is made, and goes on meanwhile. Errors:
// fault of kind Invalid (name), NotFound, Quota, Conflict (name taken, or the
// sandbox is neither started nor stopped).
func (s *Service) Snapshot(ctx context.Context, organizationID, idOrName, name string) (*Sandbox, error) {
	sb, err := s.whole(ctx, organizationID, idOrName, "snapshot")
	if err != nil {
		return nil, err
	}
	snap, err := s.config.Snapshots.Take(ctx, organizationID, snapshot.TakeParams{
		Name: name, SandboxID: sb.ID, Region: sb.Region, Image: sb.ImageDigest, Entrypoint: sb.Entrypoint, User: sb.User, Resources: snapshot.Resources(sb.Resources),
	})
	if err != nil {
		return nil, err
	}
	now, err := s.update(ctx, sb.ID, func(sb *Sandbox) error { return sb.enter(StateSnapshotting, "", s.config.Clock.Now()) })
	if err != nil {
		return nil, errors.Join(err, s.config.Snapshots.Delete(ctx, organizationID, snap.ID, false))
	}
	return now, nil
}

// stepSnapshotting goes back to what the sandbox is, once no snapshot is being
// made of it; snapshotMoved adds the job again.
func (s *Service) stepSnapshotting(ctx context.Context, sb *Sandbox) error {
	taking, err := s.config.Snapshots.Taking(ctx, sb.ID)
	if err != nil || taking {
		return err
	}
	st, err := s.config.Engine.Inspect(ctx, sb.ID)
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		return err
	}
	gone := err != nil
	return s.apply(ctx, sb.ID, func(now *Sandbox) error {
		switch {
		case now.State != StateSnapshotting:
			return nil
		case gone:
			return now.enter(StateError, diskLost, s.config.Clock.Now())
		case st.Phase == engine.PhaseRunning:
			return now.enter(StateStarted, "", s.config.Clock.Now())
		case now.Desired == DesiredStarted && !st.Booted: // the machine was rebooted
			return now.enter(StateStarting, "", s.config.Clock.Now())
		}
		now.Desired = DesiredStopped // it may have ended by itself
		return now.enter(StateStopped, "", s.config.Clock.Now())
	})
}
