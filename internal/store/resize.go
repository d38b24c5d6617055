package store

import (
	"context"
	"slices"

	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/sandbox"
)

// ResizeSandbox is sandbox.Store.
func (s *Store) ResizeSandbox(ctx context.Context, id string, change func(sb *sandbox.Sandbox, others sandbox.Usage) error) (*sandbox.Sandbox, error) {
	return s.changeSandbox(ctx, id, func(ctx context.Context, tx bun.Tx, sb *sandbox.Sandbox) error {
		if err := s.dialect.lockKey(ctx, tx, sb.OrganizationID); err != nil {
			return err
		}
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
		return change(sb, others)
	})
}
