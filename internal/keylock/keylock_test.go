package keylock

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestOneAtATimeHoldsAKeyAndOtherKeysAreFree(t *testing.T) {
	var l Locks
	var wg sync.WaitGroup
	counts := map[string]*int{"a": new(int), "b": new(int)} // the race detector sees two at once
	for key, n := range counts {
		for range 50 {
			wg.Go(func() {
				unlock, err := l.Lock(t.Context(), key)
				if err != nil {
					t.Error(err)
					return
				}
				*n++
				unlock()
			})
		}
	}
	wg.Wait()
	if *counts["a"] != 50 || *counts["b"] != 50 {
		t.Errorf("counted %d and %d", *counts["a"], *counts["b"])
	}
	if len(l.keys) != 0 {
		t.Errorf("%d keys are kept", len(l.keys))
	}
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	var l Locks
	unlock, err := l.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Lock(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	other, err := l.Lock(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	other()
	unlock()
	again, err := l.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	again()
	if len(l.keys) != 0 {
		t.Errorf("%d keys are kept", len(l.keys))
	}
}
