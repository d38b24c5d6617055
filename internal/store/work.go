package store

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/sandbox"
)

// The conditions of the partial indexes sandboxes_unsettled, sandboxes_started
// and sandboxes_unapplied, in their words.
const (
	unsettled  = "state NOT IN ('started', 'stopped', 'destroyed', 'error', 'build_failed')"
	started    = "state = 'started'"
	unapplied  = "(network_wanted <> network_applied OR size_wanted <> size_applied)"
	workFields = "id, organization_id, network_wanted <> network_applied AS network, size_wanted <> size_applied AS size"
)

// UnsettledSandboxes is sandbox.Store.
func (s *Store) UnsettledSandboxes(ctx context.Context) ([]sandbox.Work, error) {
	return s.work(ctx, unsettled)
}

// StartedSandboxes is sandbox.Store.
func (s *Store) StartedSandboxes(ctx context.Context) ([]sandbox.Work, error) {
	return s.work(ctx, started)
}

// UnappliedSandboxes is sandbox.Store.
func (s *Store) UnappliedSandboxes(ctx context.Context) ([]sandbox.Work, error) {
	return s.work(ctx, unapplied)
}

func (s *Store) work(ctx context.Context, condition string) ([]sandbox.Work, error) {
	var work []sandbox.Work
	err := s.read.NewSelect().Model((*sandboxRow)(nil)).ColumnExpr("?", bun.Safe(workFields)).
		Where("?", bun.Safe(condition)).
		Scan(ctx, &work)
	return work, err
}
