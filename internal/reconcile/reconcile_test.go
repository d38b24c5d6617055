package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestAFailedStepIsRepeatedAndAKeyHasOneWorker(t *testing.T) {
	q := New("thing", time.Millisecond, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var busy, steps, overlaps atomic.Int32
	var wg sync.WaitGroup
	wg.Go(func() {
		q.Run(ctx, 4, func(context.Context, string) error {
			if busy.Add(1) > 1 {
				overlaps.Add(1)
			}
			defer busy.Add(-1)
			q.Add("a") // as a command would, in the middle of the step
			if steps.Add(1) < 20 {
				return errors.New("not yet")
			}
			cancel()
			return nil
		})
	})
	q.Add("a")
	wg.Wait()
	if steps.Load() < 20 || overlaps.Load() != 0 {
		t.Errorf("%d steps, %d at once", steps.Load(), overlaps.Load())
	}
}
