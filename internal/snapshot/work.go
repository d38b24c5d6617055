package snapshot

import (
	"context"
	"sync"
)

// works are the pulls and builds that run, by the revision of the content that
// they make. The zero value is ready for use.
type works struct {
	mu  sync.Mutex
	all map[string]*work
}

type work struct {
	cancel context.CancelFunc
	asks   []string // ids of snapshots that want to be queued when it has ended
}

// begin gives the work on a revision its context; end must be called when
// nothing of it runs any more. It reports false when there is one already; the
// snapshot of that id is queued when that has ended.
func (w *works) begin(ctx context.Context, revision, id string) (_ context.Context, end func(queue func(id string)), ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if it := w.all[revision]; it != nil {
		it.asks = append(it.asks, id)
		return nil, nil, false
	}
	if w.all == nil {
		w.all = make(map[string]*work)
	}
	ctx, cancel := context.WithCancel(ctx)
	it := &work{cancel: cancel}
	w.all[revision] = it
	return ctx, func(queue func(string)) {
		cancel()
		w.mu.Lock()
		delete(w.all, revision)
		w.mu.Unlock()
		for _, id := range it.asks {
			queue(id)
		}
	}, true
}

// stop cancels the work on a revision and reports whether there is one. The
// snapshot of that id is queued when it has ended.
func (w *works) stop(revision, id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	it := w.all[revision]
	if it == nil {
		return false
	}
	it.cancel()
	it.asks = append(it.asks, id)
	return true
}
