package server

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// supervisor runs the parts of the server that go on in the background. One that
// fails is run again, after a pause that grows, and says so in the log and in the
// server's readiness: what the others do does not depend on it.
type supervisor struct {
	log *slog.Logger

	mu     sync.Mutex
	failed map[string]error
	parts  sync.WaitGroup
}

// The pauses between two runs of a part that fails.
const (
	minRestartPause = time.Second
	maxRestartPause = time.Minute
)

// run runs a part until ctx ends or it returns nil.
func (s *supervisor) run(ctx context.Context, name string, part func(context.Context) error) {
	s.parts.Go(func() {
		for pause := minRestartPause; ; pause = min(2*pause, maxRestartPause) {
			began := time.Now()
			err := part(ctx)
			if err == nil || ctx.Err() != nil {
				s.set(name, nil)
				if err != nil {
					s.log.Error("end of "+name, "err", err)
				}
				return
			}
			if time.Since(began) > maxRestartPause {
				pause = minRestartPause
			}
			s.set(name, err)
			s.log.Error(name+" failed and is run again", "in", pause, "err", err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
			s.set(name, nil)
		}
	})
}

// wait returns when all parts have ended.
func (s *supervisor) wait() { s.parts.Wait() }

func (s *supervisor) set(name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = map[string]error{}
	}
	if s.failed[name] = err; err == nil {
		delete(s.failed, name)
	}
}

// check names the parts that have failed and wait for their next run.
func (s *supervisor) check(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.failed) == 0 {
		return nil
	}
	return fmt.Errorf("%s: failed and to be run again", strings.Join(slices.Sorted(maps.Keys(s.failed)), ", "))
}
