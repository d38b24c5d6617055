package sandbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// WarmPool keeps sandboxes of a snapshot started ahead of being asked for. They
// are an organization's own, and count to its quota.
type WarmPool struct {
	ID             string // UUID
	OrganizationID string
	Snapshot       string // its name: a snapshot that takes the name over is the pool's
	Region         string
	Size           int    // how many should wait
	ErrorReason    string // why fewer do
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// refillPause is left after a claim before the pool is filled again: making a
// sandbox takes a processor from the first command of the one just given away.
const refillPause = 50 * time.Millisecond

// maxWarm bounds the size of one pool.
const maxWarm = 1000

// PoolStatus is a pool, what waits in it, and the snapshot it is made of, nil
// when that is gone.
type PoolStatus struct {
	*WarmPool
	Ready    int
	Snapshot *snapshot.Snapshot
}

// CreatePool records a pool; its reconciler fills it. Errors: fault of kind
// Invalid, NotFound (snapshot, region), Conflict (there is one).
func (s *Service) CreatePool(ctx context.Context, organizationID, snapshotIDOrName, region string, size int) (*PoolStatus, error) {
	if err := checkPoolSize(size); err != nil {
		return nil, err
	}
	snap, err := s.config.Snapshots.Get(ctx, organizationID, snapshotIDOrName)
	if err != nil {
		return nil, err
	}
	if region == "" {
		if region, err = s.config.Regions.DefaultRegion(ctx, organizationID); err != nil {
			return nil, fmt.Errorf("create warm pool: %w", err)
		}
	}
	if err := s.config.Regions.CheckRegion(ctx, organizationID, region); err != nil {
		return nil, err
	}
	now := s.config.Clock.Now()
	p := &WarmPool{ID: uuid.NewString(), OrganizationID: organizationID, Snapshot: snap.Name, Region: region, Size: size, CreatedAt: now, UpdatedAt: now}
	if err := s.config.Store.InsertWarmPool(ctx, p); err != nil {
		return nil, fmt.Errorf("create warm pool: %w", err)
	}
	s.jobs.pools.Add(pool(p.ID, p.OrganizationID))
	return s.poolStatus(ctx, p)
}

func checkPoolSize(n int) error {
	if n < 0 || n > maxWarm {
		return fault.Invalid("pool", fmt.Sprintf("pool must be a number of sandboxes from 0 to %d, not %d.", maxWarm, n))
	}
	return nil
}

// Pools lists the organization's.
func (s *Service) Pools(ctx context.Context, organizationID string) ([]*PoolStatus, error) {
	pools, err := s.config.Store.WarmPools(ctx, organizationID)
	if err != nil {
		return nil, err
	}
	return s.poolStatuses(ctx, organizationID, pools...)
}

func (s *Service) poolStatus(ctx context.Context, p *WarmPool) (*PoolStatus, error) {
	one, err := s.poolStatuses(ctx, p.OrganizationID, p)
	if err != nil {
		return nil, err
	}
	return one[0], nil
}

// poolStatuses reads what the pools of an organization have, of all at once.
func (s *Service) poolStatuses(ctx context.Context, organizationID string, pools ...*WarmPool) ([]*PoolStatus, error) {
	ready, err := s.config.Store.ReadyInPools(ctx, organizationID)
	if err != nil {
		return nil, fmt.Errorf("count what waits in warm pools: %w", err)
	}
	names := make([]string, len(pools))
	for i, p := range pools {
		names[i] = p.Snapshot
	}
	named, err := s.config.Snapshots.Named(ctx, organizationID, names)
	if err != nil {
		return nil, err
	}
	all := make([]*PoolStatus, len(pools))
	for i, p := range pools {
		all[i] = &PoolStatus{WarmPool: p, Ready: ready[p.ID], Snapshot: named[p.Snapshot]}
	}
	return all, nil
}

// ResizePool changes how many sandboxes should wait; 0 drains the pool. Errors:
// fault of kind Invalid, NotFound.
func (s *Service) ResizePool(ctx context.Context, organizationID, id string, size int) (*PoolStatus, error) {
	if err := checkPoolSize(size); err != nil {
		return nil, err
	}
	if err := s.ownPool(ctx, organizationID, id); err != nil {
		return nil, err
	}
	p, err := s.config.Store.UpdateWarmPool(ctx, id, func(p *WarmPool) { p.Size, p.UpdatedAt = size, s.config.Clock.Now() })
	if err != nil {
		return nil, err
	}
	s.jobs.pools.Add(pool(id, organizationID))
	return s.poolStatus(ctx, p)
}

// DeletePool removes a pool and what waits in it. Errors: fault of kind NotFound.
func (s *Service) DeletePool(ctx context.Context, organizationID, id string) error {
	if err := s.ownPool(ctx, organizationID, id); err != nil {
		return err
	}
	if err := s.config.Store.DeleteWarmPool(ctx, id); err != nil {
		return err
	}
	s.jobs.pools.Add(pool(id, organizationID))
	return nil
}

func (s *Service) ownPool(ctx context.Context, organizationID, id string) error {
	p, err := s.config.Store.WarmPool(ctx, id)
	if err == nil && p.OrganizationID != organizationID {
		err = fault.NotFound("WARM_POOL_NOT_FOUND", fmt.Sprintf("Warm pool %q does not exist.", id))
	}
	return err
}

// claim makes a waiting sandbox the one that want describes, nil when none
// waits or none can become it: the first must have the same network policy, and
// its entrypoint, which runs already, must not miss variables, unless it is a
// placeholder.
func (s *Service) claim(ctx context.Context, want *Sandbox) (*Sandbox, error) {
	if len(want.Env) > 0 && !slices.Equal(want.Entrypoint, snapshot.DefaultEntrypoint) {
		return nil, nil
	}
	var from string
	sb, err := s.config.Store.ClaimSandbox(ctx, want, func(sb *Sandbox) error {
		if sb.Damaged || !sb.Network.equal(want.Network) || sb.NetworkGeneration.pending() || s.recovery.pending(sb.ID) {
			return ErrUnlike
		}
		from, sb.WarmPoolID = sb.WarmPoolID, ""
		if want.Name != want.ID { // as asked for
			sb.Name = want.Name
		}
		sb.Env, sb.Labels, sb.Public, sb.Network = want.Env, want.Labels, want.Public, want.Network
		sb.AutoStop, sb.AutoArchive, sb.AutoDelete, sb.DestroyAt = want.AutoStop, want.AutoArchive, want.AutoDelete, want.DestroyAt
		sb.CreatedAt, sb.UpdatedAt, sb.LastActivityAt = want.CreatedAt, want.UpdatedAt, want.LastActivityAt
		if sb.Claimed = len(sb.Env) > 0 || sb.Name != sb.ID; sb.Claimed {
			return sb.enter(StateStarting, "", s.config.Clock.Now())
		}
		return nil
	})
	if from != "" {
		s.jobs.pools.AddAfter(pool(from, want.OrganizationID), refillPause)
	}
	return sb, err
}

// ErrUnlike is the way to tell Store.ClaimSandbox that another waiting sandbox
// may do.
var ErrUnlike = errors.New("the waiting sandbox cannot be the one that is asked for")

// equal reports whether both let the same pass, however it was written.
func (n Network) equal(o Network) bool {
	return n.BlockAll == o.BlockAll && slices.Equal(n.Allow, o.Allow) && slices.Equal(n.Domains, o.Domains)
}

// reconcilePool is the job that makes one pool as large as its row says, of what its
// snapshot is now. A claim, a move of a waiting sandbox or of the snapshot adds it.
func (s *Service) reconcilePool(ctx context.Context, t *controller.Task) error {
	id := t.Key
	p, err := s.config.Store.WarmPool(ctx, id)
	if fault.Is(err, fault.KindNotFound) {
		p, err = &WarmPool{ID: id}, nil
	}
	if err != nil {
		return err
	}
	var snap *snapshot.Snapshot
	if p.Size > 0 {
		if snap, err = s.config.Snapshots.Get(ctx, p.OrganizationID, p.Snapshot); err != nil && !fault.Is(err, fault.KindNotFound) {
			return err
		}
	}
	reason := ""
	switch {
	case p.Size == 0:
	case snap == nil || snap.State == snapshot.StateRemoving:
		reason = fmt.Sprintf("Snapshot %q does not exist any more.", p.Snapshot)
		snap = nil
	case snap.State != snapshot.StateActive:
		reason = fmt.Sprintf("Snapshot %q is %s: the pool is filled when it is active.", p.Snapshot, snap.State)
		snap = nil
	}
	warm, err := s.config.Store.WarmSandboxes(ctx, id)
	if err != nil {
		return err
	}
	for _, sb := range warm {
		if s.recovery.pending(sb.ID) {
			return nil // observe adds the pool again
		}
	}
	now := &Sandbox{OrganizationID: p.OrganizationID} // one without a policy of its own gets this one
	if snap != nil {                                  // nothing fits otherwise, as in a pool that is gone
		if err := s.limitEgress(ctx, now); err != nil {
			return err
		}
	}
	kept := 0
	var failed error
	for _, sb := range warm {
		fits := snap != nil && sb.SnapshotID == snap.ID && sb.ImageDigest == snap.ImageDigest && sb.Resources == Resources(snap.Resources) && sb.Network.equal(now.Network)
		switch {
		case sb.Desired == DesiredDestroyed:
			continue
		case fits && kept < p.Size && sb.State != StateError && sb.State != StateStopped && sb.State != StateStopping:
			kept++
			continue
		case sb.State == StateError:
			failed = errors.New(sb.ErrorReason)
		}
		if err := s.drop(ctx, sb); err != nil {
			return err
		}
	}
	for ; snap != nil && failed == nil && kept < p.Size; kept++ {
		failed = s.warm(ctx, p, snap)
	}
	if failed != nil {
		reason = fmt.Sprintf("A sandbox of the pool could not be made: %v", failed)
		var told *fault.Error
		if errors.As(failed, &told) {
			reason = told.Message
		}
		reason = s.config.HostPaths.Hide(reason)
	}
	if p.OrganizationID != "" && p.ErrorReason != reason {
		if _, err := s.config.Store.UpdateWarmPool(ctx, id, func(p *WarmPool) { p.ErrorReason = reason }); err != nil {
			return err
		}
	}
	if failed != nil {
		return fmt.Errorf("fill warm pool: %w", failed)
	}
	return nil
}

// drop removes a sandbox that still waits.
func (s *Service) drop(ctx context.Context, sb *Sandbox) error {
	starting := false
	err := s.apply(ctx, sb.ID, func(sb *Sandbox) error {
		if sb.WarmPoolID == "" || sb.Desired == DesiredDestroyed {
			return nil // somebody's meanwhile
		}
		starting = sb.starts()
		sb.Desired = DesiredDestroyed
		return sb.enter(StateDestroying, "", s.config.Clock.Now())
	})
	if starting {
		s.jobs.rows.Restart(job(sb))
	}
	return err
}

// warm records one more waiting sandbox.
func (s *Service) warm(ctx context.Context, p *WarmPool, snap *snapshot.Snapshot) error {
	sb, err := s.build(CreateParams{}, p.OrganizationID, p.Region)
	if err != nil {
		return err
	}
	sb.WarmPoolID, sb.SnapshotID, sb.Snapshot = p.ID, snap.ID, snap.Name
	sb.State, sb.Resources = StateCreating, Resources(snap.Resources)
	sb.standOn(snap)
	if err := s.limitEgress(ctx, sb); err != nil {
		return err
	}
	allow, err := s.config.Limits.CheckSandbox(sb.Resources)
	if err != nil {
		return err
	}
	if err := s.config.Store.InsertSandbox(ctx, sb, allow); err != nil {
		return err
	}
	s.jobs.rows.Add(job(sb))
	return nil
}
