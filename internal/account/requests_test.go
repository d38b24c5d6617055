package account

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"

	"github.com/opendaytona/daytona/internal/fault"
)

// oneKey is a store that has one key, until it is deleted.
type oneKey struct {
	Store
	mu      sync.Mutex
	key     *Key
	looking func() // between the look and its answer
}

func (o *oneKey) KeyByHash(_ context.Context, hash string) (*Key, bool, error) {
	o.mu.Lock()
	key := o.key
	o.mu.Unlock()
	if o.looking != nil {
		look := o.looking
		o.looking = nil
		look()
	}
	if key == nil || key.Hash != hash {
		return nil, false, fault.NotFound("", "")
	}
	return key, false, nil
}

func (o *oneKey) DeleteKey(context.Context, string, string, string) (*Key, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := o.key
	o.key = nil
	return key, nil
}

func serviceOf(key *Key) (*Service, *oneKey) {
	store := &oneKey{key: key}
	return NewService(Config{Store: store, Clock: clock.RealClock{}}), store
}

func TestRequestsEndWithTheirKey(t *testing.T) {
	soon := time.Now().Add(50 * time.Millisecond)
	for name, c := range map[string]struct {
		expires *time.Time
		want    error
	}{"deleted": {nil, errKeyDeleted}, "expired": {&soon, errKeyExpired}} {
		t.Run(name, func(t *testing.T) {
			s, _ := serviceOf(&Key{Hash: HashKey("key"), ExpiresAt: c.expires})
			var contexts []context.Context
			for range 3 {
				ctx, done := s.Begin(t.Context())
				defer done()
				if _, err := s.Authenticate(ctx, "key", ""); err != nil {
					t.Fatal(err)
				}
				if err := s.Continue(ctx, HashKey("key")); err != nil { // twice is once
					t.Fatal(err)
				}
				contexts = append(contexts, ctx)
			}
			stranger, done := s.Begin(t.Context())
			defer done()
			if c.expires == nil {
				if err := s.DeleteKey(t.Context(), Principal{}, "", "name"); err != nil {
					t.Fatal(err)
				}
			}
			for _, ctx := range contexts {
				select {
				case <-ctx.Done():
				case <-time.After(5 * time.Second):
					t.Fatal("it goes on")
				}
				if err := fault.Ended(ctx); !errors.Is(err, c.want) {
					t.Errorf("the cause is %v", err)
				}
			}
			if stranger.Err() != nil {
				t.Error("a request of nobody's ended too")
			}
			if err := s.Continue(t.Context(), HashKey("key")); !fault.Is(err, fault.KindUnauthorized) {
				t.Errorf("the key is still good: %v", err)
			}
		})
	}
}

func TestRequestsThatAreOverAreForgotten(t *testing.T) {
	later := time.Now().Add(time.Hour)
	s, _ := serviceOf(&Key{Hash: HashKey("key"), ExpiresAt: &later})
	ctx, done := s.Begin(t.Context())
	if _, err := s.Authenticate(ctx, "key", ""); err != nil || len(s.requests) != 1 {
		t.Fatalf("%d keys have requests, %v", len(s.requests), err)
	}
	done()
	if len(s.requests) != 0 {
		t.Errorf("%d keys have requests", len(s.requests))
	}
	if fault.Ended(ctx) != nil || ctx.Err() == nil {
		t.Errorf("its context ended with %v", context.Cause(ctx))
	}
	// Work that outlives its request is nobody's to end.
	if _, err := s.Authenticate(ctx, "key", ""); err != nil || len(s.requests) != 0 {
		t.Errorf("%d keys have requests, %v", len(s.requests), err)
	}
}

func TestAKeyThatIsDeletedWhileItIsLookedForIsNotGood(t *testing.T) {
	s, store := serviceOf(&Key{Hash: HashKey("key")})
	store.looking = func() {
		if err := s.DeleteKey(t.Context(), Principal{}, "", "name"); err != nil {
			t.Error(err)
		}
	}
	ctx, done := s.Begin(t.Context())
	defer done()
	if _, err := s.Authenticate(ctx, "key", ""); !fault.Is(err, fault.KindUnauthorized) {
		t.Errorf("it is good: %v", err)
	}
	if s.cache.Len() != 0 || len(s.requests) != 0 {
		t.Error("it is remembered")
	}
}

// A key that another process deletes is known for a while, and no longer.
func TestAKeyIsLookedUpAgainAfterAWhile(t *testing.T) {
	s, store := serviceOf(&Key{Hash: HashKey("key")})
	now := testclock.NewFakePassiveClock(time.Now())
	s.config.Clock = now
	authenticate := func() error {
		ctx, done := s.Begin(t.Context())
		defer done()
		_, err := s.Authenticate(ctx, "key", "")
		return err
	}
	if err := authenticate(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.DeleteKey(t.Context(), "", "", ""); err != nil {
		t.Fatal(err)
	}
	now.SetTime(now.Now().Add(cacheFor - time.Second))
	if err := authenticate(); err != nil {
		t.Errorf("before its time: %v", err)
	}
	now.SetTime(now.Now().Add(time.Second))
	if err := authenticate(); !fault.Is(err, fault.KindUnauthorized) {
		t.Errorf("after its time: %v", err)
	}
}
