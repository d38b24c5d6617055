package store

import (
	"context"
	"slices"

	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/sandbox"
)

// ResizeSandbox is sandbox.Store.
func (s *Store) ResizeSandbox(ctx context.Context, id string, change func(sb *sandbox.Sandbox, others sandbox.Usage) error) (*sandbox.Sandbox, error) {
	var sb *sandbox.Sandbox
	err := s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		var r sandboxRow
		if err := tx.NewSelect().Model(&r).Where("id = ?", id).Scan(ctx); err != nil {
			return sandboxMissing(err, id)
		}
		sb = r.sandbox()
		others, err := usage(ctx, tx, sb.OrganizationID)
		if err != nil {
			return err
		}
		others.Sandboxes--
		others.Disk -= sb.Resources.Disk
		if slices.Contains(running, sb.State) {
			others.CPU -= sb.Resources.CPU
			others.Memory -= sb.Resources.Memory
		}
		if err := change(sb, others); err != nil {
			return err
		}
		_, err = tx.NewUpdate().Model(rowOfSandbox(sb)).WherePK().Exec(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return sb, nil
}
