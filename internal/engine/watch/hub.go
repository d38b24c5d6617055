// Package watch tells any number of readers which sandboxes of an engine have
// changed. Nobody who reports a change ever waits for a reader, and a reader
// that is slow loses nothing: what it has not read yet is kept once for each
// sandbox, however often that changed.
package watch

import (
	"context"
	"sync"

	"github.com/opendaytona/daytona/internal/engine"
)

// Hub connects those who see changes with those who watch. The zero value is
// ready for use.
type Hub struct {
	mu      sync.Mutex
	readers map[*reader]struct{}
	closed  chan struct{}
	work    sync.WaitGroup
}

// reader has the events that one watch has not delivered yet.
type reader struct {
	mu      sync.Mutex
	waiting []engine.Event
	known   map[engine.Event]struct{} // those in waiting
	more    chan struct{}             // has an element when something is waiting
}

// Watch implements engine.Observer.
func (h *Hub) Watch(ctx context.Context) <-chan engine.Event {
	out := make(chan engine.Event)
	r := &reader{known: map[engine.Event]struct{}{}, more: make(chan struct{}, 1)}
	r.add(engine.Event{Resync: true})
	h.mu.Lock()
	defer h.mu.Unlock()
	closed := h.ending()
	select {
	case <-closed:
		close(out)
		return out
	default:
	}
	if h.readers == nil {
		h.readers = map[*reader]struct{}{}
	}
	h.readers[r] = struct{}{}
	h.work.Go(func() {
		defer close(out)
		defer h.forget(r)
		r.deliver(ctx, closed, out)
	})
	return out
}

// Changed reports that the status of a sandbox may be another one now.
func (h *Hub) Changed(id string) { h.tell(engine.Event{ID: id}) }

// Resync reports that any sandbox may have changed.
func (h *Hub) Resync() { h.tell(engine.Event{Resync: true}) }

// Close ends all watches and returns when their channels are closed.
func (h *Hub) Close() {
	h.mu.Lock()
	closed := h.ending()
	select {
	case <-closed:
	default:
		close(closed)
	}
	h.mu.Unlock()
	h.work.Wait()
}

// ending is closed by Close. The caller holds the lock.
func (h *Hub) ending() chan struct{} {
	if h.closed == nil {
		h.closed = make(chan struct{})
	}
	return h.closed
}

func (h *Hub) tell(e engine.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := range h.readers {
		r.add(e)
	}
}

func (h *Hub) forget(r *reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.readers, r)
}

func (r *reader) add(e engine.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, is := r.known[e]; is {
		return
	}
	r.known[e] = struct{}{}
	r.waiting = append(r.waiting, e)
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// next takes the oldest event. One that comes in again afterwards is delivered
// again, since its reader may have looked already.
func (r *reader) next() (e engine.Event, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 {
		return e, false
	}
	e, r.waiting = r.waiting[0], r.waiting[1:]
	delete(r.known, e)
	return e, true
}

func (r *reader) deliver(ctx context.Context, closed <-chan struct{}, out chan<- engine.Event) {
	for {
		e, ok := r.next()
		if !ok {
			select {
			case <-r.more:
				continue
			case <-ctx.Done():
				return
			case <-closed:
				return
			}
		}
		select {
		case out <- e:
		case <-ctx.Done():
			return
		case <-closed:
			return
		}
	}
}
