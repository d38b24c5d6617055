package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestReadinessIsLookedAtOnceInAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int32
		var broken atomic.Bool
		r := &readiness{log: slog.New(slog.DiscardHandler), checks: map[string]func(context.Context) error{
			"engine": func(context.Context) error {
				looks.Add(1)
				time.Sleep(time.Second)
				if broken.Load() {
					return errors.New("broken")
				}
				return nil
			},
			"database": func(context.Context) error { return nil },
		}}
		ask := func(ctx context.Context, want ...string) {
			t.Helper()
			if failed, err := r.failures(ctx); err != nil || !slices.Equal(failed, want) {
				t.Errorf("got %v, %v; want %v", failed, err, want)
			}
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, err := r.failures(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("one who has gone got %v", err)
		}
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { ask(t.Context()) })
		}
		all.Wait()
		if n := looks.Load(); n != 1 {
			t.Errorf("%d looks for all that asked at once", n)
		}
		broken.Store(true)
		ask(t.Context()) // as it was a moment ago
		time.Sleep(readyFor)
		ask(t.Context(), "engine")
		if n := looks.Load(); n != 2 {
			t.Errorf("%d looks", n)
		}
		broken.Store(false)
		time.Sleep(readyFor)
		ask(t.Context())
	})
}
