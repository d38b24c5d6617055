package store

import (
	"context"

	"github.com/uptrace/bun"
)

// CountOpening adds one to how often the database was opened, and returns the
// sum.
func (s *Store) CountOpening(ctx context.Context) (n int64, err error) {
	err = s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		return tx.NewRaw("UPDATE openings SET n = n + 1 RETURNING n").Scan(ctx, &n)
	})
	return n, err
}
