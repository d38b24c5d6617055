package build

import (
	"context"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Place is one of those at which images are built at once.
type Place interface {
	Leave()
	Enter(ctx context.Context) error // waits for a place; who has one keeps it
}

const (
	// patience is how long a registry may say nothing until the build that waits for
	// it gives its place to others.
	patience = 2 * time.Second
	// mostAway bounds the builds of a scope that are here without a place.
	mostAway = 32
)

// presence knows which builds of a scope have their places. BuildKit does not tell
// whose a step is: one runs while any build of its scope has a place.
type presence struct {
	mu       sync.Mutex
	here     map[Place]bool // whether it is held
	steps    int            // that run
	entering Place          // for which a step waits
	giveUp   func()         // ends that
	taking   sync.Mutex     // while a step waits
}

func (p *presence) join(place Place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.here == nil {
		p.here = make(map[Place]bool)
	}
	p.here[place] = true
}

func (p *presence) part(place Place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.here, place)
	if p.entering == place {
		p.giveUp()
	}
}

// leave gives the place of a build that waits to others, unless steps run on it.
func (p *presence) leave(place Place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held, away := 0, 0
	for _, here := range p.here {
		if here {
			held++
		} else {
			away++
		}
	}
	if !p.here[place] || p.steps > 0 && held == 1 || away >= mostAway {
		return
	}
	p.here[place] = false
	place.Leave()
}

// step returns when a build of the scope has its place; done must be called.
func (p *presence) step(ctx context.Context) (done func(), err error) {
	p.taking.Lock()
	defer p.taking.Unlock()
	for {
		away := p.begin()
		if away == nil {
			return p.done, nil
		}
		waiting, giveUp := context.WithCancel(ctx)
		p.mu.Lock()
		p.entering, p.giveUp = away, giveUp
		p.mu.Unlock()
		err := away.Enter(waiting)
		giveUp()
		p.mu.Lock()
		p.entering, p.giveUp = nil, nil
		_, still := p.here[away]
		if still && err == nil {
			p.here[away] = true
		}
		p.mu.Unlock()
		switch {
		case !still && err == nil: // its build has just ended
			away.Leave()
		case still && err != nil:
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// begin counts a step in, or returns a place that must be entered before.
func (p *presence) begin() (away Place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for place, here := range p.here {
		if here {
			away = nil
			break
		}
		away = place
	}
	if away == nil {
		p.steps++
	}
	return away
}

func (p *presence) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps--
}

// waiting leaves the build's place when what it waits for takes longer than
// patience; ended must be called.
func (p *pulls) waiting() (ended func()) {
	if p.place == nil {
		return func() {}
	}
	return impatient(func() { p.presence.leave(p.place) })
}

// leaveAll is for what a build of the scope waits for, nobody knows which.
func (p *presence) leaveAll() {
	p.mu.Lock()
	places := slices.Collect(maps.Keys(p.here))
	p.mu.Unlock()
	for _, place := range places {
		p.leave(place)
	}
}

// impatient calls leave when it has taken longer than patience until ended is
// called, again and again, for steps may be running on the place.
func impatient(leave func()) (ended func()) {
	var mu sync.Mutex
	over := false
	var timer *time.Timer
	mu.Lock()
	timer = time.AfterFunc(patience, func() {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			leave()
			timer.Reset(patience)
		}
	})
	mu.Unlock()
	return func() {
		mu.Lock()
		defer mu.Unlock()
		over = true
		timer.Stop()
	}
}

// awaiting is a way to a server that may say nothing.
type awaiting struct {
	http.RoundTripper
	waiting func() (ended func())
}

// RoundTrip implements http.RoundTripper.
func (a awaiting) RoundTrip(r *http.Request) (*http.Response, error) {
	defer a.waiting()()
	res, err := a.RoundTripper.RoundTrip(r)
	if err == nil && res.Body != nil {
		res.Body = awaited{res.Body, a.waiting}
	}
	return res, err
}

type awaited struct {
	io.ReadCloser
	waiting func() (ended func())
}

// Read implements io.Reader.
func (a awaited) Read(b []byte) (int, error) {
	defer a.waiting()()
	return a.ReadCloser.Read(b)
}
