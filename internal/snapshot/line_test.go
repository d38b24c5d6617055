package snapshot

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// queue is who is inside of a line, and who waits.
type queue struct {
	*testing.T
	line
	all map[string]*member
}

type member struct {
	cancel context.CancelFunc
	inside atomic.Bool
	place  atomic.Int32
	leave  chan struct{}
	err    chan error
}

func (q *queue) enter(name string, bounds ...bound) {
	ctx, cancel := context.WithCancel(q.Context())
	m := &member{cancel: cancel, leave: make(chan struct{}), err: make(chan error, 1)}
	q.all[name] = m
	go func() {
		leave, err := q.line.enter(ctx, func(place int) { m.place.Store(int32(place)) }, bounds...)
		if err == nil {
			m.inside.Store(true)
			<-m.leave
			leave()
		}
		m.err <- err
	}()
	synctest.Wait()
}

func (q *queue) leave(name string) {
	close(q.all[name].leave)
	synctest.Wait()
	if err := <-q.all[name].err; err != nil {
		q.Errorf("%s: %v", name, err)
	}
	delete(q.all, name)
}

func (q *queue) giveUp(name string) {
	q.all[name].cancel()
	synctest.Wait()
	if err := <-q.all[name].err; !errors.Is(err, context.Canceled) {
		q.Errorf("%s: %v", name, err)
	}
	delete(q.all, name)
}

// are checks each one's place; 0 is inside.
func (q *queue) are(want map[string]int) {
	q.Helper()
	for name, place := range want {
		m := q.all[name]
		if m.inside.Load() != (place == 0) || place > 0 && int(m.place.Load()) != place {
			q.Errorf("%s is inside: %t, at place %d, want place %d", name, m.inside.Load(), m.place.Load(), place)
		}
	}
}

func (q *queue) empty() {
	for name := range q.all {
		q.leave(name)
	}
	if len(q.inside) > 0 || len(q.waiting) > 0 {
		q.Errorf("the empty line counts %v, and %d wait", q.inside, len(q.waiting))
	}
}

func TestALineIsKeptInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{T: t, all: map[string]*member{}}
		for _, name := range []string{"a", "b", "c", "d"} {
			q.enter(name, bound{most: 1})
		}
		q.are(map[string]int{"a": 0, "b": 1, "c": 2, "d": 3})
		q.giveUp("c")
		q.are(map[string]int{"a": 0, "b": 1, "d": 2})
		q.leave("a")
		q.are(map[string]int{"b": 0, "d": 1})
		q.leave("b")
		q.empty()
	})
}

func TestThoseWithRoomComePastTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{T: t, all: map[string]*member{}}
		red, blue, both := bound{"red", 1}, bound{"blue", 1}, bound{"", 2}
		q.enter("red 1", both, red)
		q.enter("red 2", both, red)
		q.enter("blue 1", both, blue)
		q.enter("green 1", both)
		q.are(map[string]int{"red 1": 0, "red 2": 1, "blue 1": 0, "green 1": 2})
		q.leave("blue 1") // red 2, though first, has no room yet
		q.are(map[string]int{"red 2": 1, "green 1": 0})
		q.leave("red 1")
		q.are(map[string]int{"red 2": 0})
		q.leave("red 2")
		q.leave("green 1")
		q.empty()
	})
}

func TestPullsLeaveEachOtherRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{T: t, all: map[string]*member{}}
		pulls := func(n int, organization, registry string) (inside int) {
			for i := range n {
				name := fmt.Sprint(organization, registry, i)
				q.enter(name, pullBounds(organization, registry)...)
				if q.all[name].inside.Load() {
					inside++
				}
			}
			return inside
		}
		for _, c := range []struct {
			organization, registry string
			want                   int // of 100
			why                    string
		}{
			{"a", "slow", 8, "half of the organization's"},
			{"a", "good", 8, "the other half"},
			{"a", "third", 0, "the organization has all it may"},
			{"b", "slow", 8, "another organization has its own"},
			{"c", "slow", 0, "the registry has all it may"},
			{"c", "good", 8, "nobody waits for the slow one"},
			{"d", "good", 0, "the registry has all it may"},
		} {
			if got := pulls(100, c.organization, c.registry); got != c.want {
				t.Errorf("%s from %s: %d at once, want %d: %s", c.organization, c.registry, got, c.want, c.why)
			}
		}
		for name, m := range q.all {
			if !m.inside.Load() {
				q.giveUp(name)
			}
		}
		q.empty()
	})
}

func TestAPlaceThatIsLeftIsSomebodyElsesUntilItIsEnteredAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{T: t, all: map[string]*member{}}
		one := bound{most: 1}
		p := newPlace(&q.line, func(int) {}, one)
		for range 2 {
			if err := p.Enter(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		q.enter("next", one)
		q.are(map[string]int{"next": 1})
		for range 2 {
			p.Leave()
		}
		synctest.Wait()
		q.are(map[string]int{"next": 0})
		back := make(chan error, 1)
		go func() { back <- p.Enter(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-back:
			t.Fatal("it is entered while somebody else is there:", err)
		default:
		}
		q.leave("next")
		if err := <-back; err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		other := newPlace(&q.line, func(int) {}, one)
		go func() { back <- other.Enter(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-back; !errors.Is(err, context.Canceled) {
			t.Errorf("a wait that is given up: %v", err)
		}
		other.Leave()
		p.Leave()
		q.empty()
	})
}
