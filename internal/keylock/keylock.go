// Package keylock has a lock for each key, such as the id of a row, whose wait
// can be cancelled. It imports no other package of the project.
package keylock

import (
	"context"
	"sync"
)

// Locks keeps a lock for every key that somebody holds or waits for. The zero
// value is ready for use.
type Locks struct {
	mu   sync.Mutex
	keys map[string]*lock
}

type lock struct {
	held  chan struct{}
	users int // who hold it or wait
}

// Lock waits for the key's lock; the returned function gives it back. Errors:
// ctx's.
func (l *Locks) Lock(ctx context.Context, key string) (unlock func(), err error) {
	l.mu.Lock()
	k := l.keys[key]
	if k == nil {
		if l.keys == nil {
			l.keys = make(map[string]*lock)
		}
		k = &lock{held: make(chan struct{}, 1)}
		l.keys[key] = k
	}
	k.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(l.keys, key)
		}
	}
	select {
	case k.held <- struct{}{}:
		return func() { <-k.held; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
