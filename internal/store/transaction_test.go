package store

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/uptrace/bun"
)

// A request that waits with a limit reads the row again and again, and the limit
// may pass in the middle of a read.
func TestATransactionThatItsContextEndedSaysSo(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	for name, in := range map[string]func(context.Context, func(context.Context, bun.Tx) error) error{"read": s.inRead, "write": s.inTx} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(20*time.Millisecond))
			defer cancel()
			err := in(ctx, func(_ context.Context, tx bun.Tx) error {
				for { // until package sql has rolled back
					if _, err := tx.ExecContext(context.WithoutCancel(ctx), "SELECT 1"); errors.Is(err, sql.ErrTxDone) {
						return nil
					}
					time.Sleep(time.Millisecond)
				}
			})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	}
}
