package controller

import (
	"context"
	"time"

	"github.com/opendaytona/daytona/internal/fairqueue"
)

// Task is one run of a job, and its place among those of its class. A run has
// its place from the beginning, unless the class is OwnTurn, and may leave it to
// others while it only waits for something. The methods may be called at once, and
// repeated.
type Task struct {
	Job
	// Bounds are further limits on the job, and Moved is told its place in the
	// queue while it waits. Set them before Enter.
	Bounds []fairqueue.Bound
	Moved  func(place int)

	class    *Class
	changing chan struct{}     // has a token while nobody enters or leaves
	ticket   *fairqueue.Ticket // nil without a place
	entered  bool              // it had one
	since    time.Time
	took     time.Duration // with a place, but for the present one
}

func newTask(class *Class, j Job) *Task {
	t := &Task{Job: j, class: class, changing: make(chan struct{}, 1)}
	t.changing <- struct{}{}
	return t
}

// Enter waits for a place; who has one keeps it. Errors: ctx's.
func (t *Task) Enter(ctx context.Context) error {
	select {
	case <-t.changing:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { t.changing <- struct{}{} }()
	if t.ticket != nil {
		return nil
	}
	return t.wait(ctx, t.class.queue.Enqueue(fairqueue.Request{Tenant: t.Tenant, Bounds: t.Bounds, First: t.entered, Moved: t.Moved}))
}

func (t *Task) wait(ctx context.Context, ticket *fairqueue.Ticket) error {
	if err := ticket.Wait(ctx); err != nil {
		return err
	}
	t.ticket, t.entered, t.since = ticket, true, time.Now()
	return nil
}

// Leave gives the place to others.
func (t *Task) Leave() { t.leave() }

// leave is Leave, and tells how long the task had a place in all.
func (t *Task) leave() time.Duration {
	<-t.changing
	defer func() { t.changing <- struct{}{} }()
	if t.ticket != nil {
		t.ticket.Release()
		t.ticket = nil
		t.took += time.Since(t.since)
	}
	return t.took
}
