package local

import (
	"context"
	"slices"
	"sync"
)

// turns lets a number of starts run at one time, and of one tenant fewer: what
// takes long for one leaves turns for the others.
type turns struct {
	each int

	mu      sync.Mutex
	free    int
	taken   map[string]int // by tenant
	waiting []*turn        // in the order in which they came
}

type turn struct {
	tenant string
	given  chan struct{} // closed
}

func newTurns(all, each int) *turns {
	return &turns{each: each, free: all, taken: map[string]int{}}
}

// enter waits for a turn. leave must follow, unless it fails, which it does when
// ctx ends.
func (t *turns) enter(ctx context.Context, tenant string) error {
	w := &turn{tenant, make(chan struct{})}
	t.mu.Lock()
	t.waiting = append(t.waiting, w)
	t.give()
	t.mu.Unlock()
	select {
	case <-w.given:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.waiting, w); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	} else { // it was given meanwhile
		t.take(tenant, -1)
		t.give()
	}
	return ctx.Err()
}

func (t *turns) leave(tenant string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.take(tenant, -1)
	t.give()
}

// give gives the free turns to those who wait and may have one.
func (t *turns) give() {
	t.waiting = slices.DeleteFunc(t.waiting, func(w *turn) bool {
		if t.free == 0 || t.taken[w.tenant] >= t.each {
			return false
		}
		t.take(w.tenant, 1)
		close(w.given)
		return true
	})
}

func (t *turns) take(tenant string, n int) {
	t.free -= n
	if t.taken[tenant] += n; t.taken[tenant] == 0 {
		delete(t.taken, tenant)
	}
}
