// Package reconcile works a queue of keys, each by one worker at a time, and
// repeats a step that failed after a growing pause that the log shows. The
// services of snapshots and sandboxes have one each. It imports nothing of the
// house.
package reconcile

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
)

// Queue holds the keys whose rows may not be true yet.
type Queue struct {
	noun string
	log  *slog.Logger
	keys workqueue.TypedRateLimitingInterface[string]
}

// New makes a queue for a noun. A failed step is repeated after first, then
// after twice as long, up to a minute.
func New(noun string, first time.Duration, log *slog.Logger) *Queue {
	return &Queue{noun: noun, log: log, keys: workqueue.NewTypedRateLimitingQueue(
		workqueue.NewTypedItemExponentialFailureRateLimiter[string](first, time.Minute))}
}

// Add asks for a step of key; many at once become one.
func (q *Queue) Add(key string) { q.keys.Add(key) }

// AddAfter asks for a step of key once the pause is over; of several pauses of
// one key the first to end counts.
func (q *Queue) AddAfter(key string, pause time.Duration) { q.keys.AddAfter(key, pause) }

// Run works the queue until ctx ends, and returns when the last step has.
func (q *Queue) Run(ctx context.Context, workers int, step func(ctx context.Context, key string) error) {
	var wg sync.WaitGroup
	for range max(workers, 1) {
		wg.Go(func() {
			for q.work(ctx, step) {
			}
		})
	}
	<-ctx.Done()
	q.keys.ShutDown()
	wg.Wait()
}

func (q *Queue) work(ctx context.Context, step func(context.Context, string) error) bool {
	key, shutdown := q.keys.Get()
	if shutdown {
		return false
	}
	defer q.keys.Done(key)
	switch err := step(ctx, key); {
	case err == nil || ctx.Err() != nil:
		q.keys.Forget(key)
	default:
		q.log.Error(q.noun+" step failed, will be repeated", "id", key, "err", err, "failures", q.keys.NumRequeues(key)+1)
		q.keys.AddRateLimited(key)
	}
	return true
}
