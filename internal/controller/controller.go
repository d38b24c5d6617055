// Package controller runs the work that makes rows true. A job has a key, which
// names a row or a part of one, and a class, such as pulls or builds. Of a key
// one job of a class runs at a time, and what is added meanwhile runs after it;
// so a job reads what its row wants when it runs, and never works beside itself.
//
// Each class has its limits, in all and for one organization, and organizations
// take turns in it (package fairqueue). A job that fails is repeated after a
// growing pause, which the log shows. A job can be cancelled, waiting or running.
// Every few minutes each class is asked for the keys that need work, so that
// nothing waits for a signal that was lost.
package controller

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Controller runs the jobs of its classes. Make it with New.
type Controller struct {
	log     *slog.Logger
	observe Observer
	resync  time.Duration

	mu      sync.Mutex
	classes []*Class
	ctx     context.Context // of all jobs; nil before Run
	ended   bool
	early   []func() // jobs that were added before Run
	jobs    sync.WaitGroup
}

// Observer is told of each run of a job: how long it took, waits not counted,
// and whether it failed. It must not block.
type Observer func(class string, took time.Duration, failed bool)

// Options of a controller.
type Options struct {
	Log     *slog.Logger
	Observe Observer      // may be nil
	Resync  time.Duration // between two resyncs; 0 is DefaultResync
}

// DefaultResync is often enough for what should not happen, and rare enough to
// cost nothing.
const DefaultResync = 3 * time.Minute

// New makes a controller. Jobs may be added at once; none runs before Run.
func New(o Options) *Controller {
	c := &Controller{log: o.Log, observe: o.Observe, resync: o.Resync}
	if c.resync <= 0 {
		c.resync = DefaultResync
	}
	if c.observe == nil {
		c.observe = func(string, time.Duration, bool) {}
	}
	return c
}

// Run runs the jobs until ctx ends, and returns when none runs any more. It can
// be called once.
func (c *Controller) Run(ctx context.Context) error {
	c.mu.Lock()
	c.ctx = ctx
	early, classes := c.early, c.classes
	c.early = nil
	for _, start := range early {
		start()
	}
	c.mu.Unlock()
	c.resyncUntil(ctx, classes)
	c.mu.Lock()
	c.ended = true
	for _, class := range classes {
		class.end()
	}
	c.mu.Unlock()
	c.jobs.Wait()
	return nil
}

func (c *Controller) resyncUntil(ctx context.Context, classes []*Class) {
	tick := time.NewTicker(c.resync)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, class := range classes {
			if class.Resync == nil {
				continue
			}
			limited, cancel := context.WithTimeout(ctx, c.resync)
			jobs, err := class.Resync(limited)
			cancel()
			if err != nil && ctx.Err() == nil {
				c.log.Error("list the jobs to do", "class", class.Name, "err", err)
			}
			for _, j := range jobs {
				class.addMissing(j)
			}
		}
	}
}

// Stats is what a class does at one moment.
type Stats struct {
	Class    string
	Waiting  int // for their turn
	Running  int
	Retrying int // that failed and pause
}

// Stats of all classes.
func (c *Controller) Stats() []Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]Stats, 0, len(c.classes))
	for _, class := range c.classes {
		all = append(all, class.stats())
	}
	return all
}

// errEnded is what callers of Do get who come too late.
var errEnded = errors.New("the server is ending")

// Permanent marks an error of a job that is not to be repeated.
func Permanent(err error) error { return &permanent{err} }

type permanent struct{ err error }

func (p *permanent) Error() string { return p.err.Error() }
func (p *permanent) Unwrap() error { return p.err }
