package fairqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// crowd is who has asked a queue for a place.
type crowd struct {
	*testing.T
	*Queue
	all map[string]*member
}

type member struct {
	cancel context.CancelFunc
	inside atomic.Bool
	place  atomic.Int32
	leave  chan struct{}
	err    chan error
}

// in runs a test with a queue, which must be empty at its end.
func in(t *testing.T, limits Limits, f func(*crowd)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{T: t, Queue: New(limits), all: map[string]*member{}}
		f(c)
		for len(c.all) > 0 {
			for name, m := range c.all {
				if m.inside.Load() {
					c.leave(name)
				}
			}
		}
		if working, waiting := c.Len(); working+waiting+len(c.bounds)+len(c.tenants)+c.watched > 0 {
			t.Errorf("in the end %d work and %d wait; it keeps %v, %v and %d", working, waiting, c.bounds, c.tenants, c.watched)
		}
	})
}

// ask asks in the name of a member, which begins with that of its tenant.
func (c *crowd) ask(tenant, name string, r Request) {
	ctx, cancel := context.WithCancel(c.Context())
	m := &member{cancel: cancel, leave: make(chan struct{}), err: make(chan error, 1)}
	c.all[name] = m
	r.Tenant, r.Moved = tenant, func(place int) { m.place.Store(int32(place)) }
	go func() {
		release, err := c.Acquire(ctx, r)
		if err == nil {
			m.inside.Store(true)
			<-m.leave
			release()
		}
		m.err <- err
	}()
	synctest.Wait()
}

func (c *crowd) leave(name string) {
	c.Helper()
	close(c.all[name].leave)
	if err := <-c.all[name].err; err != nil {
		c.Errorf("%s: %v", name, err)
	}
	delete(c.all, name)
	synctest.Wait()
}

func (c *crowd) giveUp(name string) {
	c.Helper()
	c.all[name].cancel()
	if err := <-c.all[name].err; !errors.Is(err, context.Canceled) {
		c.Errorf("%s: %v", name, err)
	}
	delete(c.all, name)
	synctest.Wait()
}

// are checks each one's place; 0 is inside.
func (c *crowd) are(want map[string]int) {
	c.Helper()
	for name, place := range want {
		m := c.all[name]
		if m.inside.Load() != (place == 0) || place > 0 && int(m.place.Load()) != place {
			c.Errorf("%s is inside: %t, at place %d, want place %d", name, m.inside.Load(), m.place.Load(), place)
		}
	}
}

func (c *crowd) inside() (names []string) {
	for name, m := range c.all {
		if m.inside.Load() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestOneTenantIsServedInOrder(t *testing.T) {
	in(t, Limits{All: 1}, func(c *crowd) {
		for _, name := range []string{"a", "b", "c", "d"} {
			c.ask("", name, Request{})
		}
		c.are(map[string]int{"a": 0, "b": 1, "c": 2, "d": 3})
		c.giveUp("c")
		c.are(map[string]int{"a": 0, "b": 1, "d": 2})
		c.leave("a")
		c.are(map[string]int{"b": 0, "d": 1})
		c.ask("", "again", Request{First: true})
		c.are(map[string]int{"b": 0, "again": 1, "d": 2})
	})
}

func TestAnotherTenantsFirstRequestIsNext(t *testing.T) {
	in(t, Limits{All: 1}, func(c *crowd) {
		for i := range 200 {
			c.ask("many", fmt.Sprint("many ", i), Request{})
		}
		c.ask("few", "few 0", Request{})
		c.ask("few", "few 1", Request{})
		c.are(map[string]int{"many 0": 0, "few 0": 1, "many 1": 2, "few 1": 3, "many 2": 4, "many 199": 201})
		c.leave("many 0")
		c.are(map[string]int{"few 0": 0, "many 1": 1, "few 1": 2})
		c.leave("few 0")
		c.are(map[string]int{"many 1": 0, "few 1": 1, "many 2": 2})
		c.leave("many 1")
		c.are(map[string]int{"few 1": 0})
	})
}

func TestThePlacesAreSharedEvenly(t *testing.T) {
	in(t, Limits{All: 6}, func(c *crowd) {
		for i := range 20 {
			c.ask("a", fmt.Sprint("a", i), Request{})
		}
		for i := range 20 {
			c.ask("b", fmt.Sprint("b", i), Request{})
		}
		for i := range 3 {
			c.leave(fmt.Sprint("a", i))
		}
		if got, want := c.inside(), []string{"a3", "a4", "a5", "b0", "b1", "b2"}; !slices.Equal(got, want) {
			t.Errorf("inside are %v, want %v", got, want)
		}
	})
}

func TestOneTenantLeavesPlacesForOthers(t *testing.T) {
	in(t, Limits{All: 3, PerTenant: 2}, func(c *crowd) {
		for i := range 4 {
			c.ask("many", fmt.Sprint("many ", i), Request{})
		}
		c.are(map[string]int{"many 1": 0, "many 2": 1})
		c.ask("few", "few", Request{})
		c.are(map[string]int{"few": 0})
		c.leave("few")
		c.are(map[string]int{"many 2": 1}) // although a place is free
	})
}

func TestThoseWithRoomPassTheOthers(t *testing.T) {
	in(t, Limits{All: 2}, func(c *crowd) {
		red, blue := Request{Bounds: []Bound{{"red", 1}}}, Request{Bounds: []Bound{{"blue", 1}}}
		c.ask("", "red 1", red)
		c.ask("", "red 2", red)
		c.ask("", "blue 1", blue)
		c.ask("", "green 1", Request{})
		c.are(map[string]int{"red 1": 0, "red 2": 1, "blue 1": 0, "green 1": 2})
		c.leave("blue 1") // red 2, though first, has no room yet
		c.are(map[string]int{"red 2": 1, "green 1": 0})
		c.leave("red 1")
		c.are(map[string]int{"red 2": 0})
	})
}

func TestAPlaceIsNotLostWhenItComesAsItsWaitEnds(t *testing.T) {
	q := New(Limits{All: 2})
	var working, most atomic.Int32
	var all sync.WaitGroup
	for i := range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		all.Go(cancel)
		all.Go(func() {
			release, err := q.Acquire(ctx, Request{Tenant: fmt.Sprint(i % 3), Bounds: []Bound{{fmt.Sprint(i % 5), 1}}})
			if err != nil {
				return
			}
			if n := working.Add(1); n > most.Load() {
				most.Store(n)
			}
			working.Add(-1)
			release()
		})
	}
	all.Wait()
	if working, waiting := q.Len(); working != 0 || waiting != 0 || most.Load() > 2 || len(q.bounds) != 0 {
		t.Errorf("%d work and %d wait, up to %d did at once, bounds %v", working, waiting, most.Load(), q.bounds)
	}
}
