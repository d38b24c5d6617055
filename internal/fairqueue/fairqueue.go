// Package fairqueue lets a bounded number of callers work at once, with fair
// turns between tenants: a free place goes to the tenant that has the fewest, of
// those to the one that has waited longest for its turn, and within a tenant to
// who came first. It imports no package of this module.
package fairqueue

import (
	"cmp"
	"context"
	"slices"
	"sync"
)

// Limits say how many may work at once.
type Limits struct {
	All       int // at least one
	PerTenant int // 0: no fewer than All
}

// Bound is a further limit, on those that share its key. Who has to wait for it
// lets others of the tenant past.
type Bound struct {
	Key  string
	Most int
}

// Request says who asks for a place.
type Request struct {
	Tenant string
	Bounds []Bound
	// First puts the request before the others of its tenant, as for work that
	// has begun and gave up its place for a while.
	First bool
	// Moved is called, in the goroutine that waits, with the place in the queue,
	// from 1, at the beginning of a wait and each time it changes; it may be nil.
	Moved func(place int)
}

// Queue is who works and who waits. Make it with New.
type Queue struct {
	limits Limits

	mu      sync.Mutex
	working int
	bounds  map[string]int // working, by the key of a bound
	tenants map[string]*tenant
	waiting []*tenant // those of whom somebody waits
	turns   uint64    // given so far
	watched int       // how many of those that wait have Moved
}

type tenant struct {
	name    string
	working int
	last    uint64 // the number of its latest turn
	queue   []*Ticket
}

// New makes a queue.
func New(limits Limits) *Queue {
	limits.All = max(limits.All, 1)
	if limits.PerTenant <= 0 {
		limits.PerTenant = limits.All
	}
	return &Queue{limits: limits, bounds: make(map[string]int), tenants: make(map[string]*tenant)}
}

// Ticket is a place in the queue, or among those who work.
type Ticket struct {
	Request
	q     *Queue
	place int      // as it was told last
	moved chan int // has the latest place that was not read yet; closed when it is its turn
}

// Enqueue asks for a place. Wait must follow.
func (q *Queue) Enqueue(r Request) *Ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := &Ticket{Request: r, q: q, moved: make(chan int, 1)}
	t := q.tenants[r.Tenant]
	if t == nil {
		t = &tenant{name: r.Tenant}
		q.tenants[r.Tenant] = t
	}
	if len(t.queue) == 0 {
		q.waiting = append(q.waiting, t)
	}
	if r.First {
		t.queue = slices.Insert(t.queue, 0, w)
	} else {
		t.queue = append(t.queue, w)
	}
	if r.Moved != nil {
		q.watched++
	}
	q.admit()
	return w
}

// Wait returns when it is the ticket's turn. Release must follow, unless it
// fails. Errors: ctx's.
func (w *Ticket) Wait(ctx context.Context) error {
	for {
		select {
		case place, waits := <-w.moved:
			if !waits {
				return nil
			}
			w.Moved(place)
		case <-ctx.Done():
			if !w.q.giveUp(w) {
				w.Release() // it was its turn just now
			}
			return ctx.Err()
		}
	}
}

// Release gives the place back. It must be called once.
func (w *Ticket) Release() { w.q.release(w) }

// Acquire waits for a place, which release, to be called once, gives back.
// Errors: ctx's.
func (q *Queue) Acquire(ctx context.Context, r Request) (release func(), err error) {
	w := q.Enqueue(r)
	if err := w.Wait(ctx); err != nil {
		return nil, err
	}
	return w.Release, nil
}

// Len is how many work, and how many wait.
func (q *Queue) Len() (working, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range q.waiting {
		waiting += len(t.queue)
	}
	return q.working, waiting
}

// giveUp reports whether w was still waiting, and waits no more.
func (q *Queue) giveUp(w *Ticket) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.tenants[w.Tenant]
	if t == nil {
		return false
	}
	i := slices.Index(t.queue, w)
	if i < 0 {
		return false
	}
	q.remove(t, i)
	q.tell()
	return true
}

func (q *Queue) release(w *Ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.tenants[w.Tenant]
	q.working--
	t.working--
	for _, b := range w.Bounds {
		if q.bounds[b.Key]--; q.bounds[b.Key] == 0 {
			delete(q.bounds, b.Key)
		}
	}
	q.forget(t)
	q.admit()
}

// admit gives the free places away.
func (q *Queue) admit() {
	for q.working < q.limits.All {
		t, i := q.next()
		if t == nil {
			break
		}
		w := t.queue[i]
		q.turns++
		q.working++
		t.working++
		t.last = q.turns
		q.remove(t, i)
		for _, b := range w.Bounds {
			q.bounds[b.Key]++
		}
		select {
		case <-w.moved: // a place it has not read yet
		default:
		}
		close(w.moved)
	}
	q.tell()
}

// next is the tenant whose turn it is, and which of those that wait may begin.
func (q *Queue) next() (best *tenant, index int) {
	for _, t := range q.waiting {
		if t.working >= q.limits.PerTenant || best != nil && before(best, t) <= 0 {
			continue
		}
		if i := slices.IndexFunc(t.queue, q.hasRoom); i >= 0 {
			best, index = t, i
		}
	}
	return best, index
}

// before orders tenants by whose turn it is.
func before(a, b *tenant) int {
	return cmp.Or(cmp.Compare(a.working, b.working), cmp.Compare(a.last, b.last))
}

func (q *Queue) hasRoom(w *Ticket) bool {
	return !slices.ContainsFunc(w.Bounds, func(b Bound) bool { return q.bounds[b.Key] >= b.Most })
}

func (q *Queue) remove(t *tenant, i int) {
	if t.queue[i].Moved != nil {
		q.watched--
	}
	t.queue = slices.Delete(t.queue, i, i+1)
	if len(t.queue) == 0 {
		q.waiting = slices.DeleteFunc(q.waiting, func(o *tenant) bool { return o == t })
	}
	q.forget(t)
}

// forget drops a tenant of whom nobody works or waits.
func (q *Queue) forget(t *tenant) {
	if t.working == 0 && len(t.queue) == 0 {
		delete(q.tenants, t.name)
	}
}

// tell tells those that wait their latest place: the order in which they have
// their turns, as far as it can be known.
func (q *Queue) tell() {
	if q.watched == 0 {
		return
	}
	order := slices.Clone(q.waiting)
	slices.SortStableFunc(order, before)
	place := 0
	for round := 0; len(order) > 0; round++ {
		order = slices.DeleteFunc(order, func(t *tenant) bool { return len(t.queue) <= round })
		for _, t := range order {
			place++
			w := t.queue[round]
			if w.Moved == nil || w.place == place {
				continue
			}
			w.place = place
			select {
			case <-w.moved:
			default:
			}
			w.moved <- place
		}
	}
}
