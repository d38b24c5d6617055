package snapshot

import (
	"context"
	"slices"
	"sync"
)

// line lets so many in at once; the others wait in the order in which they
// came, and are told their place whenever it changes.
type line struct {
	mu      sync.Mutex
	free    int
	waiting []*ticket
}

type ticket struct {
	place chan int // its latest place from 1; closed when it is its turn
}

func newLine(n int) *line { return &line{free: n} }

// enter returns nil when it is the caller's turn, who must leave then. Errors:
// ctx's.
func (l *line) enter(ctx context.Context, moved func(place int)) error {
	l.mu.Lock()
	if l.free > 0 {
		l.free--
		l.mu.Unlock()
		return nil
	}
	t := &ticket{place: make(chan int, 1)}
	l.waiting = append(l.waiting, t)
	t.place <- len(l.waiting)
	l.mu.Unlock()
	for {
		select {
		case place, waiting := <-t.place:
			if !waiting {
				return nil
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
				l.leave() // it was our turn just now
			}
			return ctx.Err()
		}
	}
}

// leave lets the next one in.
func (l *line) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.free++
		return
	}
	next := l.waiting[0]
	l.waiting = l.waiting[1:]
	select {
	case <-next.place: // a place it has not read yet
	default:
	}
	close(next.place)
	l.tell()
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
