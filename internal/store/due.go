package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/sandbox"
)

// DueSandboxes is sandbox.Store. Activity does not move due_at, which would be one
// more index to write for each sandbox in use: one that was used since is early,
// and gets its new time here.
func (s *Store) DueSandboxes(ctx context.Context, now time.Time) ([]*sandbox.Sandbox, error) {
	var rows []*sandboxRow
	if err := s.read.NewSelect().Model(&rows).Where("due_at <= ?", now.UTC()).OrderExpr("due_at").Scan(ctx); err != nil {
		return nil, err
	}
	var due []*sandbox.Sandbox
	var early []*sandboxRow
	for _, r := range rows {
		if sb := s.ofSandbox(r); sb.Due(now) != "" {
			due = append(due, sb)
		} else {
			r.DueAt = utc(sb.DueAt())
			early = append(early, r)
		}
	}
	if len(early) == 0 {
		return due, nil
	}
	return due, s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		for _, r := range early {
			if _, err := tx.NewUpdate().Model(r).Column("due_at").WherePK().Where("version = ?", r.Version).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}
