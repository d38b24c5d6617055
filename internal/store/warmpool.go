package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/sandbox"
)

type warmPoolRow struct {
	bun.BaseModel `bun:"table:warm_pools"`

	ID             string `bun:",pk"`
	OrganizationID string
	Snapshot       string
	Region         string
	Size           int
	ErrorReason    string
	CreatedAt      time.Time
	UpdatedAt      time.Time
	Version        int64
}

func (r *warmPoolRow) version() *int64 { return &r.Version }

func (r *warmPoolRow) pool() *sandbox.WarmPool {
	return &sandbox.WarmPool{
		ID: r.ID, OrganizationID: r.OrganizationID, Snapshot: r.Snapshot, Region: r.Region, Size: r.Size, ErrorReason: r.ErrorReason,
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
}

func rowOfPool(p *sandbox.WarmPool) *warmPoolRow {
	return &warmPoolRow{
		ID: p.ID, OrganizationID: p.OrganizationID, Snapshot: p.Snapshot, Region: p.Region, Size: p.Size, ErrorReason: p.ErrorReason,
		CreatedAt: p.CreatedAt.UTC(), UpdatedAt: p.UpdatedAt.UTC(),
	}
}

// InsertWarmPool is sandbox.Store.
func (s *Store) InsertWarmPool(ctx context.Context, p *sandbox.WarmPool) error {
	_, err := s.write.NewInsert().Model(rowOfPool(p)).Exec(ctx)
	if s.dialect.isDuplicate(err) {
		return fault.Conflict("WARM_POOL_EXISTS", fmt.Sprintf("There is a warm pool for snapshot %q in region %q already: change its size, or delete it first.", p.Snapshot, p.Region))
	}
	return err
}

// WarmPool is sandbox.Store.
func (s *Store) WarmPool(ctx context.Context, id string) (*sandbox.WarmPool, error) {
	var r warmPoolRow
	if err := s.read.NewSelect().Model(&r).Where("id = ?", id).Scan(ctx); err != nil {
		return nil, missing(err, "WARM_POOL_NOT_FOUND", "Warm pool %q does not exist.", id)
	}
	return r.pool(), nil
}

// WarmPools is sandbox.Store.
func (s *Store) WarmPools(ctx context.Context, organizationID string) ([]*sandbox.WarmPool, error) {
	var rows []*warmPoolRow
	q := s.read.NewSelect().Model(&rows)
	if organizationID != "" {
		q.Where("organization_id = ?", organizationID)
	}
	err := q.OrderExpr("created_at, id").Scan(ctx)
	pools := make([]*sandbox.WarmPool, len(rows))
	for i, r := range rows {
		pools[i] = r.pool()
	}
	return pools, err
}

// UpdateWarmPool is sandbox.Store.
func (s *Store) UpdateWarmPool(ctx context.Context, id string, change func(*sandbox.WarmPool)) (*sandbox.WarmPool, error) {
	var p *sandbox.WarmPool
	err := s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		var r warmPoolRow
		if err := s.dialect.lockRows(tx.NewSelect().Model(&r).Where("id = ?", id), toChange).Scan(ctx); err != nil {
			return missing(err, "WARM_POOL_NOT_FOUND", "Warm pool %q does not exist.", id)
		}
		p = r.pool()
		change(p)
		return update(ctx, tx, &r, rowOfPool(p))
	})
	return p, err
}

// DeleteWarmPool is sandbox.Store.
func (s *Store) DeleteWarmPool(ctx context.Context, id string) error {
	_, err := s.write.NewDelete().Model((*warmPoolRow)(nil)).Where("id = ?", id).Exec(ctx)
	return err
}

// ReadyInPools is sandbox.Store.
func (s *Store) ReadyInPools(ctx context.Context, organizationID string) (map[string]int, error) {
	var rows []struct {
		WarmPoolID string
		N          int
	}
	err := s.read.NewSelect().Model((*sandboxRow)(nil)).Column("warm_pool_id").ColumnExpr("COUNT(*) AS n").Where("warm_pool_id <> ''").
		Where("organization_id = ?", organizationID).Where("state = ?", sandbox.StateStarted).GroupExpr("warm_pool_id").Scan(ctx, &rows)
	ready := make(map[string]int, len(rows))
	for _, r := range rows {
		ready[r.WarmPoolID] = r.N
	}
	return ready, err
}

// WarmSandboxes is sandbox.Store.
func (s *Store) WarmSandboxes(ctx context.Context, poolID string) ([]*sandbox.Sandbox, error) {
	var rows []*sandboxRow
	err := s.read.NewSelect().Model(&rows).Where("warm_pool_id = ?", poolID).Where("warm_pool_id <> ''").OrderExpr("created_at, id").Scan(ctx)
	return s.ofSandboxes(rows), err
}

// ClaimSandbox is sandbox.Store. A transaction passes over what another one is
// claiming, so no two get the same sandbox, and none waits for another.
func (s *Store) ClaimSandbox(ctx context.Context, want *sandbox.Sandbox, change func(*sandbox.Sandbox) error) (*sandbox.Sandbox, error) {
	// Most creates have no pool; they wait for no other write to learn that.
	waiting := func(db bun.IDB, model any) *bun.SelectQuery {
		return db.NewSelect().Model(model).Where("warm_pool_id <> ''").Where("organization_id = ?", want.OrganizationID).
			Where("snapshot_id = ?", want.SnapshotID).Where("region = ?", want.Region).Where("image_digest = ?", want.ImageDigest).
			Where("cpu = ? AND memory = ? AND disk = ?", want.Resources.CPU, want.Resources.Memory, want.Resources.Disk).
			Where("user_name = ?", want.User).Where("state = ?", sandbox.StateStarted).Where("desired = ?", sandbox.DesiredStarted).
			OrderExpr("created_at, id")
	}
	if any, err := waiting(s.read, (*sandboxRow)(nil)).Exists(ctx); !any || err != nil {
		return nil, err
	}
	var claimed *sandbox.Sandbox
	err := s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		claimed = nil
		for skip := 0; ; skip++ {
			var r sandboxRow
			if err := s.dialect.lockRows(waiting(tx, &r).Limit(1).Offset(int64(skip)), toClaimFree).Scan(ctx); err != nil {
				return ignoreNone(err)
			}
			sb := s.ofSandbox(&r)
			err := change(sb)
			if errors.Is(err, sandbox.ErrUnlike) {
				continue
			}
			if err != nil {
				return err
			}
			err = update(ctx, tx, &r, s.rowOfSandbox(sb, &r))
			if s.dialect.isDuplicate(err) {
				return nameTaken(sb.Name)
			}
			claimed = sb
			return err
		}
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}
