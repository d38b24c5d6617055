package sandbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// clockPeriod is how often intervals, counted in minutes, are looked at, and
// activity is written.
const clockPeriod = 5 * time.Second

// activity keeps when each sandbox was last used, between two writes.
type activity struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func (a *activity) touch(id string, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil {
		a.last = make(map[string]time.Time)
	}
	a.last[id] = at
}

func (a *activity) forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.last, id)
}

func (a *activity) take() map[string]time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	last := a.last
	a.last = nil
	return last
}

// putBack returns what was taken and could not be written; what came since is
// later.
func (a *activity) putBack(last map[string]time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil {
		a.last = make(map[string]time.Time, len(last))
	}
	for id, at := range last {
		if _, newer := a.last[id]; !newer {
			a.last[id] = at
		}
	}
}

// refresh corrects what was read from the store by what is not written yet.
func (a *activity) refresh(sandboxes ...*Sandbox) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, sb := range sandboxes {
		if at, ok := a.last[sb.ID]; ok && at.After(sb.LastActivityAt) {
			sb.LastActivityAt = at
		}
	}
}

// Touch records that the sandbox is being used. It is cheap and never blocks
// on the store.
func (s *Service) Touch(id string) { s.activity.touch(id, s.config.Clock.Now()) }

func (s *Service) flushActivity(ctx context.Context) error {
	last := s.activity.take()
	if len(last) == 0 {
		return nil
	}
	if err := s.config.Store.TouchSandboxes(ctx, last); err != nil {
		s.activity.putBack(last)
		return fmt.Errorf("write activity of %d sandboxes: %w", len(last), err)
	}
	return nil
}

func (s *Service) clockLoop(ctx context.Context) {
	tick := s.config.Clock.NewTicker(clockPeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C():
			if err := s.Expire(ctx); err != nil && ctx.Err() == nil {
				s.config.Log.Error("stop and delete unused sandboxes", "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// Expire stops the sandboxes without activity for their auto-stop interval,
// deletes those stopped for their auto-delete interval, and those whose time to
// live is over.
func (s *Service) Expire(ctx context.Context) error {
	if err := s.flushActivity(ctx); err != nil {
		return err
	}
	now := s.config.Clock.Now()
	due, err := s.config.Store.DueSandboxes(ctx, now)
	if err != nil {
		return fmt.Errorf("find due sandboxes: %w", err)
	}
	var failed []error
	for _, sb := range due {
		if s.recovery.pending(sb.ID) {
			continue
		}
		err := s.apply(ctx, sb.ID, func(sb *Sandbox) error {
			switch sb.Due(now) {
			case DesiredStopped:
				sb.Desired = DesiredStopped
				return sb.enter(StateStopping, "", now)
			case DesiredDestroyed:
				sb.Desired = DesiredDestroyed
				return sb.enter(StateDestroying, "", now)
			}
			return nil
		})
		if err != nil {
			failed = append(failed, fmt.Errorf("expire sandbox %s: %w", sb.ID, err))
		}
	}
	return errors.Join(failed...)
}

// Due tells what the clocks want of the sandbox at now: to be stopped, to be
// destroyed, or "" for nothing.
func (s *Sandbox) Due(now time.Time) Desired {
	switch {
	case s.Desired == DesiredDestroyed, s.WarmPoolID != "":
		return ""
	case s.DestroyAt != nil && !now.Before(*s.DestroyAt):
		return DesiredDestroyed
	case s.State == StateStarted && s.AutoStop > 0 && now.Sub(s.LastActivityAt) >= s.AutoStop:
		return DesiredStopped
	case s.State == StateStopped && s.AutoDelete >= 0 && s.StoppedAt != nil && now.Sub(*s.StoppedAt) >= s.AutoDelete:
		return DesiredDestroyed
	}
	return ""
}

// DueAt is the earliest time at which Due may want something if nobody does
// anything to the sandbox; nil is never.
func (s *Sandbox) DueAt() *time.Time {
	if s.Desired == DesiredDestroyed || s.WarmPoolID != "" {
		return nil
	}
	at := s.DestroyAt
	earlier := func(t time.Time) {
		if at == nil || t.Before(*at) {
			at = &t
		}
	}
	switch {
	case s.State == StateStarted && s.AutoStop > 0:
		earlier(s.LastActivityAt.Add(s.AutoStop))
	case s.State == StateStopped && s.AutoDelete >= 0 && s.StoppedAt != nil:
		earlier(s.StoppedAt.Add(s.AutoDelete))
	}
	return at
}
