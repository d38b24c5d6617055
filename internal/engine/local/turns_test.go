package local

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestOneTenantLeavesTurnsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(3, 2)
		order := make(chan string, 8)
		enter := func(tenant string) {
			go func() {
				if err := turns.enter(t.Context(), tenant); err == nil {
					order <- tenant
				}
			}()
			synctest.Wait()
		}
		for range 4 {
			enter("many")
		}
		if len(order) != 2 {
			t.Fatalf("one tenant has %d turns of 3, of which it may have 2", len(order))
		}
		enter("few")
		if len(order) != 3 {
			t.Fatal("another tenant waits")
		}
		for range 3 {
			<-order
		}
		enter("late")
		turns.leave("few")
		synctest.Wait()
		if got := <-order; got != "late" { // before it in the queue are those who may have no more
			t.Errorf("the next turn went to %s", got)
		}
		turns.leave("many")
		synctest.Wait()
		if got := <-order; got != "many" {
			t.Errorf("the next turn went to %s", got)
		}
		turns.leave("many")
		turns.leave("many")
		turns.leave("many")
		turns.leave("late")
		synctest.Wait()
		turns.mu.Lock()
		defer turns.mu.Unlock()
		if turns.free != 3 || len(turns.taken) != 0 || len(turns.waiting) != 0 {
			t.Errorf("in the end: %d free, taken %v, %d waiting", turns.free, turns.taken, len(turns.waiting))
		}
	})
}

func TestWhoDoesNotWaitLeavesItsTurnToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1, 1)
		if err := turns.enter(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() { left <- turns.enter(ctx, "b") }()
		synctest.Wait()
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("it left with %v", err)
		}
		turns.leave("a")
		if err := turns.enter(t.Context(), "c"); err != nil {
			t.Error(err)
		}
	})
}
