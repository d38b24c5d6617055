package store

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// sandboxCountRow is what an organization has of sandboxes in one state. Triggers
// write it.
type sandboxCountRow struct {
	bun.BaseModel `bun:"table:sandbox_counts"`
}

// snapshotCountRow is the same of snapshots.
type snapshotCountRow struct {
	bun.BaseModel `bun:"table:snapshot_counts"`
}

// running are the states in which a sandbox takes cores and memory, or soon will.
var running = []sandbox.State{
	sandbox.StatePendingBuild, sandbox.StateBuilding, sandbox.StatePulling, sandbox.StateCreating, sandbox.StateStarting, sandbox.StateStarted, sandbox.StateStopping, sandbox.StateSnapshotting,
}

// Usage is what the organization's sandboxes take.
func (s *Store) Usage(ctx context.Context, organizationID string) (sandbox.Usage, error) {
	return usage(ctx, s.read, organizationID)
}

func usage(ctx context.Context, db bun.IDB, organizationID string) (sandbox.Usage, error) {
	var u sandbox.Usage
	err := db.NewSelect().Model((*sandboxCountRow)(nil)).
		ColumnExpr("CAST(COALESCE(SUM(CASE WHEN state IN (?) THEN cpu ELSE 0 END), 0) AS BIGINT)", bun.List(running)).
		ColumnExpr("CAST(COALESCE(SUM(CASE WHEN state IN (?) THEN memory ELSE 0 END), 0) AS BIGINT)", bun.List(running)).
		ColumnExpr("CAST(COALESCE(SUM(disk), 0) AS BIGINT)").ColumnExpr("CAST(COALESCE(SUM(sandboxes), 0) AS BIGINT)").
		Where("organization_id = ?", organizationID).Scan(ctx, &u.CPU, &u.Memory, &u.Disk, &u.Sandboxes)
	return u, err
}

// allow asks whether an organization may have more, given what it has; until the
// transaction ends, it gets no more by others.
func (s *Store) allow(ctx context.Context, tx bun.Tx, organizationID string, allow func(sandbox.Usage) error) error {
	if err := s.dialect.lockKey(ctx, tx, organizationID); err != nil {
		return err
	}
	used, err := usage(ctx, tx, organizationID)
	if err != nil {
		return err
	}
	return allow(used)
}

// SnapshotCount is how many snapshots the organization has.
func (s *Store) SnapshotCount(ctx context.Context, organizationID string) (int, error) {
	return snapshotCount(ctx, s.read, organizationID)
}

func snapshotCount(ctx context.Context, db bun.IDB, organizationID string) (n int, err error) {
	err = db.NewSelect().Model((*snapshotCountRow)(nil)).ColumnExpr("CAST(COALESCE(SUM(snapshots), 0) AS BIGINT)").
		Where("organization_id = ?", organizationID).Where("listed").Where("state <> ?", snapshot.StateRemoving).Scan(ctx, &n)
	return n, err
}

// SandboxStates counts the sandboxes of all organizations by state.
func (s *Store) SandboxStates(ctx context.Context) (map[string]int, error) {
	return s.states(ctx, (*sandboxCountRow)(nil), "sandboxes")
}

// SnapshotStates counts the snapshots of all organizations by state.
func (s *Store) SnapshotStates(ctx context.Context) (map[string]int, error) {
	return s.states(ctx, (*snapshotCountRow)(nil), "snapshots")
}

func (s *Store) states(ctx context.Context, model any, counted string) (map[string]int, error) {
	var rows []struct {
		State string
		N     int
	}
	err := s.read.NewSelect().Model(model).Column("state").ColumnExpr("CAST(SUM(?) AS BIGINT) AS n", bun.Ident(counted)).
		Where("? > 0", bun.Ident(counted)).GroupExpr("state").Scan(ctx, &rows)
	counts := make(map[string]int, len(rows))
	for _, r := range rows {
		counts[r.State] = r.N
	}
	return counts, err
}
