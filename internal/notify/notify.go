// Package notify lets goroutines wait for something to change instead of
// polling for it. Domain services signal a key after each committed transition;
// request handlers and reconcilers wait on it. It imports no other package of the project.
package notify

import (
	"context"
	"sync"
)

// Notifier keeps the waiters of every key. The zero value is ready for use.
type Notifier struct {
	mu      sync.Mutex
	waiters map[string]map[chan struct{}]struct{}
}

// Signal wakes everyone who waits on key. It never blocks.
func (b *Notifier) Signal(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ch := range b.waiters[key] {
		select {
		case ch <- struct{}{}:
		default: // already signalled and not yet looked
		}
	}
}

// Wait calls look until it reports done or fails, once at the beginning and
// once after each signal of key. A signal between two looks is never lost.
// Errors: look's, or ctx's when it ends first.
func (b *Notifier) Wait(ctx context.Context, key string, look func(context.Context) (done bool, err error)) error {
	ch := make(chan struct{}, 1)
	b.add(key, ch)
	defer b.remove(key, ch)
	for {
		done, err := look(ctx)
		if done || err != nil {
			return err
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (b *Notifier) add(key string, ch chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiters == nil {
		b.waiters = make(map[string]map[chan struct{}]struct{})
	}
	if b.waiters[key] == nil {
		b.waiters[key] = make(map[chan struct{}]struct{})
	}
	b.waiters[key][ch] = struct{}{}
}

func (b *Notifier) remove(key string, ch chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiters[key], ch)
	if len(b.waiters[key]) == 0 {
		delete(b.waiters, key)
	}
}
