package snapshot

import (
	"context"
	"slices"
	"sync"
)

// line lets in at once only so many as its bounds allow; the others wait in the
// order in which they came, past whom come those whose own bounds have room, and
// are told their place whenever it changes. The zero value is ready for use.
type line struct {
	mu      sync.Mutex
	inside  map[string]int // by the key of a bound
	waiting []*ticket
}

// bound is how many of a kind may be inside.
type bound struct {
	key  string
	most int
}

type ticket struct {
	bounds []bound
	place  chan int // its latest place from 1; closed when it is its turn
}

// enter returns when it is the caller's turn, who must call leave then. Errors:
// ctx's.
func (l *line) enter(ctx context.Context, moved func(place int), bounds ...bound) (leave func(), err error) {
	t := &ticket{bounds: bounds, place: make(chan int, 1)}
	leave = func() { l.leave(t) }
	l.mu.Lock()
	if l.admit(t) {
		l.mu.Unlock()
		return leave, nil
	}
	l.waiting = append(l.waiting, t)
	t.place <- len(l.waiting)
	l.mu.Unlock()
	for {
		select {
		case place, waiting := <-t.place:
			if !waiting {
				return leave, nil
			}
			moved(place)
		case <-ctx.Done():
			l.mu.Lock()
			i := slices.Index(l.waiting, t)
			if i >= 0 {
				l.waiting = slices.Delete(l.waiting, i, i+1)
				l.tell()
			}
			l.mu.Unlock()
			if i < 0 {
				leave() // it was our turn just now
			}
			return nil, ctx.Err()
		}
	}
}

// admit counts t in if its bounds have room.
func (l *line) admit(t *ticket) bool {
	if slices.ContainsFunc(t.bounds, func(b bound) bool { return l.inside[b.key] >= b.most }) {
		return false
	}
	if l.inside == nil {
		l.inside = make(map[string]int)
	}
	for _, b := range t.bounds {
		l.inside[b.key]++
	}
	return true
}

// leave counts t out and lets in who has room now.
func (l *line) leave(t *ticket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range t.bounds {
		if l.inside[b.key]--; l.inside[b.key] == 0 {
			delete(l.inside, b.key)
		}
	}
	before := len(l.waiting)
	l.waiting = slices.DeleteFunc(l.waiting, func(next *ticket) bool {
		if !l.admit(next) {
			return false
		}
		select {
		case <-next.place: // a place it has not read yet
		default:
		}
		close(next.place)
		return true
	})
	if len(l.waiting) < before {
		l.tell()
	}
}

// tell gives those that wait their latest place.
func (l *line) tell() {
	for i, t := range l.waiting {
		select {
		case <-t.place:
		default:
		}
		t.place <- i + 1
	}
}

// place is what somebody has in a line, left and entered again. Its methods may run
// at once, and be repeated.
type place struct {
	line   *line
	moved  func(place int)
	bounds []bound

	entering chan struct{} // holds a token while nobody enters or leaves
	leave    func()        // nil outside of the line
}

func newPlace(l *line, moved func(place int), bounds ...bound) *place {
	p := &place{line: l, moved: moved, bounds: bounds, entering: make(chan struct{}, 1)}
	p.entering <- struct{}{}
	return p
}

// Enter is Place's.
func (p *place) Enter(ctx context.Context) error {
	select {
	case <-p.entering:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { p.entering <- struct{}{} }()
	if p.leave != nil {
		return nil
	}
	leave, err := p.line.enter(ctx, p.moved, p.bounds...)
	p.leave = leave
	return err
}

// Leave is Place's.
func (p *place) Leave() {
	<-p.entering
	defer func() { p.entering <- struct{}{} }()
	if p.leave != nil {
		p.leave()
	}
	p.leave = nil
}
