package controller

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/opendaytona/daytona/internal/fairqueue"
)

// ClassOptions say how the jobs of a class are run.
type ClassOptions struct {
	Name      string
	Limit     int           // jobs that run at once
	PerTenant int           // of one organization; 0: as many as Limit
	Timeout   time.Duration // of one run; 0: none

	// The pause after a first failure, which doubles with each up to MaxPause.
	// Zero are a second and a minute.
	Pause, MaxPause time.Duration

	// Run does a job, or as much of it as can be done now. It must return soon
	// after ctx has ended, and may be repeated after any crash. A failure is
	// logged and repeated, unless it is Permanent.
	Run func(ctx context.Context, t *Task) error

	// OwnTurn is set where Run itself waits for the job's turn (Task.Enter), after
	// what is to be done at once.
	OwnTurn bool

	// Resync lists the jobs that there are to do; nil for none.
	Resync func(ctx context.Context) ([]Job, error)
}

// Job is a piece of work.
type Job struct {
	Key    string // of a class, one at a time
	Row    string // the id of the row that it is about, where Key is not that
	Tenant string // the organization whose it is
}

// Class is the jobs of one kind. Make it with Controller.Class.
type Class struct {
	ClassOptions
	c     *Controller
	queue *fairqueue.Queue
	pause workqueue.TypedRateLimiter[string]

	// Below the controller's lock.
	jobs map[string]*entry
}

// entry is a job that waits, runs or pauses.
type entry struct {
	job     Job
	cancel  context.CancelFunc // of the run that goes on, waiting for its turn or not; nil for none
	done    chan struct{}      // closed at its end
	began   bool               // it has its turn, or may have read its row
	dropped bool               // it was cancelled
	again   bool               // it is to run once more after it
	after   time.Duration      // not before that
	timer   *time.Timer        // while it pauses
	due     time.Time          // when that ends
	failed  bool               // it pauses because it failed

	present, next []chan<- error // who waits for the outcome of the present run, and of the next
}

// Class adds a class. It must be called before Run.
func (c *Controller) Class(o ClassOptions) *Class {
	if o.Pause <= 0 {
		o.Pause = time.Second
	}
	if o.MaxPause <= 0 {
		o.MaxPause = time.Minute
	}
	class := &Class{
		ClassOptions: o, c: c, jobs: make(map[string]*entry),
		queue: fairqueue.New(fairqueue.Limits{All: o.Limit, PerTenant: o.PerTenant}),
		pause: workqueue.NewTypedItemExponentialFailureRateLimiter[string](o.Pause, o.MaxPause),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.classes = append(c.classes, class)
	return class
}

// Add asks for a run of the job that begins after now; many at once become one.
func (k *Class) Add(j Job) {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	k.add(j, 0)
}

// AddAfter is Add after a pause; of several pauses of one key the first to end
// counts.
func (k *Class) AddAfter(j Job, pause time.Duration) {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	k.add(j, pause)
}

// Restart is Add, and cancels the run that goes on, whose row wants something
// else now.
func (k *Class) Restart(j Job) {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	k.add(j, 0)
	if e := k.jobs[j.Key]; e != nil && e.again {
		e.dropped, e.after = true, 0
		e.cancel()
	}
}

// Do is Add, waits for that run, and returns how it ended. The job goes on when
// ctx ends, and is repeated when it fails, as any. Errors: Run's, ctx's.
func (k *Class) Do(ctx context.Context, j Job) error {
	outcome := make(chan error, 1)
	k.c.mu.Lock()
	if k.c.ended {
		k.c.mu.Unlock()
		return errEnded
	}
	e := k.entry(j)
	e.next = append(e.next, outcome)
	k.add(j, 0)
	k.c.mu.Unlock()
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Cancel ends a job, whether it waits, pauses or runs; its run may not have
// ended yet. What is added later runs.
func (k *Class) Cancel(key string) { k.drop(key) }

// Stop is Cancel, and waits until the job does not run any more. Errors: ctx's.
func (k *Class) Stop(ctx context.Context, key string) error {
	done := k.drop(key)
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of %s %s: %w", k.Name, key, ctx.Err())
	}
}

func (k *Class) drop(key string) (done <-chan struct{}) {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	e := k.jobs[key]
	if e == nil {
		return nil
	}
	k.pause.Forget(key)
	e.again = false
	tell(&e.next, context.Canceled)
	if e.cancel == nil {
		k.forget(e)
		return nil
	}
	e.dropped = true
	e.cancel()
	return e.done
}

// addMissing adds the job unless it is known, and so waits, runs or pauses.
func (k *Class) addMissing(j Job) {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	if k.jobs[j.Key] == nil {
		k.add(j, 0)
	}
}

func (k *Class) entry(j Job) *entry {
	e := k.jobs[j.Key]
	if e == nil {
		e = &entry{}
		k.jobs[j.Key] = e
	}
	e.job = j
	return e
}

func (k *Class) add(j Job, pause time.Duration) {
	if k.c.ended {
		return
	}
	e := k.entry(j)
	switch {
	case e.cancel != nil && !e.began && !e.dropped:
		// The run is yet to begin.
	case e.cancel != nil:
		if !e.again || pause < e.after {
			e.after = pause
		}
		e.again = true
	case pause > 0:
		k.wait(e, pause)
	default:
		k.start(e)
	}
}

// wait starts the job after a pause, unless it is to start before.
func (k *Class) wait(e *entry, pause time.Duration) {
	due := time.Now().Add(pause)
	if e.timer != nil {
		if !due.Before(e.due) {
			return
		}
		e.timer.Stop()
	}
	e.due = due
	var timer *time.Timer
	timer = time.AfterFunc(pause, func() {
		k.c.mu.Lock()
		defer k.c.mu.Unlock()
		if e.timer == timer && k.jobs[e.job.Key] == e && !k.c.ended {
			k.start(e)
		}
	})
	e.timer = timer
}

// start begins a run of the job, which waits for its turn.
func (k *Class) start(e *entry) {
	if k.c.ctx == nil {
		k.c.early = append(k.c.early, func() {
			if k.jobs[e.job.Key] == e && e.cancel == nil {
				k.start(e)
			}
		})
		return
	}
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	ctx, cancel := context.WithCancel(k.c.ctx)
	e.cancel, e.done = cancel, make(chan struct{})
	e.began, e.again, e.after, e.dropped, e.failed = false, false, 0, false, false
	t := newTask(k, e.job)
	var turn *fairqueue.Ticket
	if !k.OwnTurn { // here, so that jobs have their turns in the order of Add
		turn = k.queue.Enqueue(fairqueue.Request{Tenant: e.job.Tenant})
	}
	k.c.jobs.Go(func() { k.run(ctx, e, t, turn) })
}

// begin is the moment from which on the job may have read its row.
func (k *Class) begin(e *entry) {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	e.began = true
	e.present, e.next = e.next, nil
}

func (k *Class) run(ctx context.Context, e *entry, t *Task, turn *fairqueue.Ticket) {
	err := k.attempt(ctx, e, t, turn)
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	e.cancel()
	e.cancel = nil
	close(e.done)
	cancelled := e.dropped || k.c.ctx.Err() != nil
	if cancelled && err != nil {
		err = context.Canceled
	}
	tell(&e.present, err)
	var last *permanent
	failed := err != nil && !cancelled && !errors.As(err, &last)
	switch {
	case k.c.ended || k.c.ctx.Err() != nil:
		tell(&e.next, errEnded)
		k.forget(e)
	case failed:
		e.failed = true
		pause := k.pause.When(e.job.Key)
		k.c.log.Error("job failed, will be repeated", "class", k.Name, "key", e.job.Key, "err", err, "failures", k.pause.NumRequeues(e.job.Key), "pause", pause)
		if e.again { // somebody waits for it, but it may have been the job itself that asked
			pause = min(pause, k.Pause)
		}
		k.wait(e, pause)
	case e.again:
		k.pause.Forget(e.job.Key)
		if e.after > 0 {
			k.wait(e, e.after)
		} else {
			k.start(e)
		}
	default:
		k.pause.Forget(e.job.Key)
		k.forget(e)
	}
}

// attempt runs the job when it has its turn. A job that panics fails: its row is
// not everybody's.
func (k *Class) attempt(ctx context.Context, e *entry, t *Task, turn *fairqueue.Ticket) (err error) {
	if turn != nil {
		if err := t.wait(ctx, turn); err != nil {
			return err
		}
	}
	k.begin(e)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		k.c.observe(k.Name, t.leave(), err != nil && ctx.Err() == nil)
	}()
	limited := ctx
	if k.Timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, k.Timeout)
		defer cancel()
	}
	return k.Run(limited, t)
}

func (k *Class) forget(e *entry) {
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	delete(k.jobs, e.job.Key)
}

// end drops what does not run; the context of the others has ended.
func (k *Class) end() {
	for _, e := range k.jobs {
		tell(&e.next, errEnded)
		if e.cancel == nil {
			k.forget(e)
		}
	}
}

func (k *Class) stats() Stats {
	s := Stats{Class: k.Name}
	s.Running, _ = k.queue.Len()
	for _, e := range k.jobs {
		switch {
		case e.cancel != nil:
			s.Waiting++
		case e.failed:
			s.Retrying++
		}
	}
	s.Waiting = max(s.Waiting-s.Running, 0)
	return s
}

func tell(who *[]chan<- error, err error) {
	for _, outcome := range *who {
		outcome <- err
	}
	*who = slices.Delete(*who, 0, len(*who))
}
