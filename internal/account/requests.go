package account

import (
	"context"
	"sync"
	"time"

	"github.com/opendaytona/daytona/internal/fault"
)

// Why a request ends before it is done: the cause of its context.
var (
	errKeyDeleted = fault.Unauthorized("The API key was deleted during the request: send the request again with another key.")
	errKeyExpired = fault.Unauthorized("The API key expired during the request: create a new key and send the request again with it.")
)

// request is one that goes on. Every key that is authenticated in its context
// ends it when the key itself ends: a stream may last for days.
type request struct {
	end    context.CancelCauseFunc
	mu     sync.Mutex
	over   bool
	expiry map[string]*time.Timer // by the hash of a key; nil for one that does not expire
}

type requestKey struct{}

// Begin makes of ctx the context of a request, which ends with the keys that are
// authenticated in it (fault.Ended tells why). The caller calls done when the request is over.
func (s *Service) Begin(ctx context.Context) (_ context.Context, done func()) {
	ctx, end := context.WithCancelCause(ctx)
	r := &request{end: end, expiry: map[string]*time.Timer{}}
	return context.WithValue(ctx, requestKey{}, r), func() {
		s.release(r)
		end(nil)
	}
}

// Continue is for a credential that was given out for a key, by its hash: it is
// good no longer than the key, and ends its requests as the key does. Errors: fault
// of kind Unauthorized.
func (s *Service) Continue(ctx context.Context, hash string) error {
	_, err := s.authenticate(ctx, hash)
	return err
}

// hold ties the request of ctx, if it is one, to a key. The caller holds s.mu.
func (s *Service) hold(ctx context.Context, hash string, expires *time.Time, now time.Time) {
	r, ok := ctx.Value(requestKey{}).(*request)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, held := r.expiry[hash]; held || r.over {
		return
	}
	var timer *time.Timer
	if expires != nil {
		timer = time.AfterFunc(expires.Sub(now), func() { r.end(errKeyExpired) })
	}
	r.expiry[hash] = timer
	if s.requests == nil {
		s.requests = map[string]map[*request]struct{}{}
	}
	if s.requests[hash] == nil {
		s.requests[hash] = map[*request]struct{}{}
	}
	s.requests[hash][r] = struct{}{}
}

// release forgets a request that is over.
func (s *Service) release(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	for hash, timer := range r.expiry {
		if timer != nil {
			timer.Stop()
		}
		delete(s.requests[hash], r)
		if len(s.requests[hash]) == 0 {
			delete(s.requests, hash)
		}
	}
}

// ended is told of keys that are no longer in the store. A request that looked for
// one of them before looks again.
func (s *Service) ended(hashes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deletions++
	for _, hash := range hashes {
		s.cache.Remove(hash)
		for r := range s.requests[hash] {
			r.end(errKeyDeleted)
		}
	}
}
