package notify

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestWaitSeesASignalBetweenLooks(t *testing.T) {
	var b Notifier
	var value atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			err := b.Wait(t.Context(), "k", func(context.Context) (bool, error) { return value.Load() == 100, nil })
			if err != nil {
				t.Error(err)
			}
		})
	}
	for range 100 {
		value.Add(1)
		b.Signal("k")
	}
	wg.Wait()
	if len(b.waiters) != 0 {
		t.Errorf("%d keys keep waiters", len(b.waiters))
	}
}

func TestWaitEndsWithItsContextAndWithLooksError(t *testing.T) {
	var b Notifier
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	never := func(context.Context) (bool, error) { return false, nil }
	if err := b.Wait(ctx, "k", never); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	boom := errors.New("boom")
	if err := b.Wait(t.Context(), "k", func(context.Context) (bool, error) { return false, boom }); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
}
