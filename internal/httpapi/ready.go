package httpapi

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// What anybody may ask for without a key costs the server a look at its parts once
// in readyFor, however often it is asked.
const (
	readyFor  = 2 * time.Second
	readyTime = 10 * time.Second // that the parts have to answer
)

// readiness tells which parts work.
type readiness struct {
	checks map[string]func(context.Context) error
	log    *slog.Logger

	mu     sync.Mutex
	until  time.Time
	failed []string
	asking chan struct{} // closed when the look that goes on has ended
}

// failures are the parts that do not work, as of a moment ago. Errors: ctx's.
func (r *readiness) failures(ctx context.Context) ([]string, error) {
	for {
		r.mu.Lock()
		if time.Now().Before(r.until) {
			defer r.mu.Unlock()
			return r.failed, nil
		}
		if r.asking == nil {
			r.asking = make(chan struct{})
			go r.look(context.WithoutCancel(ctx)) // others may wait for it too
		}
		asking := r.asking
		r.mu.Unlock()
		select {
		case <-asking:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (r *readiness) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	failed := []string{}
	for name, check := range r.checks {
		if err := check(ctx); err != nil {
			r.log.Error("not ready", "part", name, "err", err)
			failed = append(failed, name)
		}
	}
	slices.Sort(failed)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed, r.until = failed, time.Now().Add(readyFor)
	close(r.asking)
	r.asking = nil
}
