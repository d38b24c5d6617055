package account

import (
	"context"
	"errors"
	"testing"
	"time"
)

type busyStore struct {
	Store
	busy    bool
	written map[string]time.Time
}

func (s *busyStore) TouchKeys(_ context.Context, used map[string]time.Time) error {
	if s.busy {
		return errors.New("the database is busy")
	}
	s.written = used
	return nil
}

func TestTheLastUseOfAKeyThatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	store := &busyStore{busy: true}
	s := NewService(Config{Store: store})
	before := time.Now()
	s.used = map[string]time.Time{"a": before, "b": before}
	if err := s.Flush(t.Context()); err == nil {
		t.Fatal("a failure is not told")
	}
	after := before.Add(time.Minute)
	s.used["b"] = after
	store.busy = false
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !store.written["a"].Equal(before) || !store.written["b"].Equal(after) {
		t.Errorf("written: %v", store.written)
	}
}
