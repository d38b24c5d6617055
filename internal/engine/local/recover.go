package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/slot"
)

// An engine that opens goes on with every sandbox by itself, several at once. One
// that resists, such as one with a process that the kernel does not end, has a
// problem from then on: it is reported as failed and tried again, and keeps no
// other waiting.

// The times of a recovery. They are variables for tests alone.
var (
	recoverTimeout = 5 * time.Second  // of one sandbox
	recoverAll     = 20 * time.Second // after which an engine opens without those that are left
	recoverPause   = 5 * time.Second  // before those are tried again, doubled with each time that helps none
)

const (
	recoverAtOnce    = 16
	recoverPauseMost = time.Minute
)

// problem is why a sandbox, or what a step of a build has left, is not recovered.
type problem struct {
	text  string
	tries bool       // somebody is trying now
	slot  *slot.Slot // that the sandbox keeps although it does not run; nil for none
}

var (
	errRecoverSlow = errors.New("the kernel does not finish a step of its recovery")
	errRecoverLate = errors.New("it is still to be recovered")
)

// recover goes on where an earlier server ended.
func (l *Local) recover(ctx context.Context) error {
	alive, dead, err := l.found()
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, recoverAll)
	defer cancel()
	l.recoverEach(limited, dead)
	keep := map[int]slot.Policy{}
	for _, r := range alive {
		keep[r.Slot] = r.Policy
	}
	// What has not ended may still use its slot's addresses and ids.
	stuck := map[string]runState{}
	for _, id := range l.unrecovered() {
		if r, err := l.readState(id); err == nil && r.Boot == l.boot && validSlot(r.Slot) {
			if _, taken := keep[r.Slot]; !taken {
				stuck[id], keep[r.Slot] = r, slot.Policy{BlockAll: true}
			}
		}
	}
	var refused map[int]error
	l.slots, refused, err = slot.Open(slot.Config{
		Instance: l.instance.Index, Subnet: l.Subnet, Subnet6: l.Subnet6, NoIPv6: l.NoIPv6,
		Bandwidth: l.Bandwidth, Ready: l.Slots, Trial: l.Trial, Log: l.Log,
	}, keep)
	if err != nil {
		return err
	}
	l.mu.Lock()
	var ended []*slot.Slot
	for id, r := range stuck {
		if p := l.problems[id]; p != nil {
			p.slot = l.slots.Adopt(r.Slot, r.IPv6)
		} else { // in this moment
			ended = append(ended, l.slots.Adopt(r.Slot, r.IPv6))
		}
	}
	for id, r := range alive {
		if err := refused[r.Slot]; err != nil {
			l.problems[id] = &problem{text: err.Error()}
		}
	}
	l.mu.Unlock()
	for _, s := range ended {
		if err := l.slots.Release(s); err != nil {
			l.Log.Error("free a network slot", "slot", s.Index, "err", err)
		}
	}
	limited, cancel = context.WithTimeout(ctx, recoverAll)
	defer cancel()
	l.recoverEach(limited, slices.Collect(maps.Keys(alive)))
	l.mu.Lock()
	for id, p := range l.problems {
		if r, is := alive[id]; is && l.running[id] == nil {
			p.slot = l.slots.Adopt(r.Slot, r.IPv6)
		}
	}
	l.mu.Unlock()
	if len(alive) > 0 {
		l.Log.Info("took over running sandboxes", "count", len(alive))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	l.work.Go(l.recoverLater)
	return nil
}

// found returns the state of the sandboxes that run, and the ids of all else
// that an earlier server has left.
func (l *Local) found() (alive map[string]runState, dead []string, err error) {
	entries, err := os.ReadDir(filepath.Join(l.dir, sandboxesDir))
	if err != nil {
		return nil, nil, err
	}
	alive = map[string]runState{}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	for _, id := range l.cgroups.List() {
		if !slices.Contains(left, id) {
			left = append(left, id)
		}
	}
	for _, id := range left {
		r, err := l.readState(id)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			l.log(id).Error("the state file of a sandbox cannot be read: ending what runs of it", "err", err)
		case l.alive(r) && !l.hasSlot(r):
			l.log(id).Error("the state file of a sandbox has a network slot that its processes do not run in: ending them", "slot", r.Slot)
		case l.alive(r):
			alive[id] = r
			continue
		}
		dead = append(dead, id)
	}
	return alive, dead, nil
}

func validSlot(index int) bool { return index >= 0 && index < slot.Slots }

// hasSlot reports whether the first process of a state file runs with the ids of its
// network slot, which are no other slot's.
func (l *Local) hasSlot(r runState) bool {
	owns, err := ownIDs(r.PID)
	return validSlot(r.Slot) && err == nil && len(owns) > 0 && owns[0].first == uint32(slot.HostID(l.instance.Index, r.Slot))
}

// alive reports whether the first process of a state file runs.
func (l *Local) alive(r runState) bool {
	if r.Boot != l.boot || r.PID == 0 {
		return false
	}
	ticks, err := startTicks(r.PID)
	return err == nil && ticks == r.Ticks
}

// recoverEach recovers sandboxes, several at once, until ctx ends. Those that are
// left then have a problem.
func (l *Local) recoverEach(ctx context.Context, ids []string) {
	var g errgroup.Group
	g.SetLimit(recoverAtOnce)
	for _, id := range ids {
		g.Go(func() error {
			l.recoverWithin(ctx, id)
			return nil
		})
	}
	_ = g.Wait() // none fails
}

// recoverWithin recovers one sandbox and returns when that is over, or has taken
// too long. Then it goes on, for the kernel may hold it up.
func (l *Local) recoverWithin(ctx context.Context, id string) {
	limited, cancel := context.WithTimeout(ctx, recoverTimeout)
	done := make(chan struct{})
	go func() {
		defer cancel()
		defer close(done)
		err := errRecoverLate
		if ctx.Err() == nil {
			err = l.recoverOne(limited, id)
		}
		l.tried(id, err)
	}()
	select {
	case <-done:
		return
	case <-limited.Done():
	}
	select { // it may need a moment to say why
	case <-done:
		return
	case <-time.After(time.Second):
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-done:
	default:
		l.noteProblem(id, errRecoverSlow).tries = true
	}
}

// tried records the outcome of a recovery.
func (l *Local) tried(id string, err error) {
	if err == nil {
		l.recovered(id)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noteProblem(id, err).tries = false
}

// noteProblem records why a sandbox is not recovered, and says so where that is new. The
// caller holds mu.
func (l *Local) noteProblem(id string, err error) *problem {
	p := l.problems[id]
	if p == nil {
		p = &problem{}
		l.problems[id] = p
	}
	if text := err.Error(); p.text != text {
		p.text = text
		l.log(id).Error("a sandbox cannot be recovered, which is tried again", "err", err)
		l.events.Changed(id)
	}
	return p
}

// recovered ends a sandbox's problem, where it has one.
func (l *Local) recovered(id string) {
	l.mu.Lock()
	p := l.problems[id]
	delete(l.problems, id)
	l.mu.Unlock()
	if p == nil {
		return
	}
	if p.slot != nil {
		if err := l.slots.Release(p.slot); err != nil {
			l.log(id).Error("free the network slot of a sandbox that has ended", "err", err)
		}
	}
	l.log(id).Info("a sandbox is recovered")
	l.events.Changed(id)
}

// hasProblem reports whether a sandbox is not recovered.
func (l *Local) hasProblem(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.problems[id] != nil
}

// unrecovered are the ids of what has a problem.
func (l *Local) unrecovered() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.problems))
}

// recoverLater tries those again that have a problem, until the engine closes.
func (l *Local) recoverLater() {
	pause := recoverPause
	for {
		select {
		case <-time.After(pause):
		case <-l.done.Done():
			return
		}
		before := l.unrecovered()
		l.mu.Lock()
		ids := slices.DeleteFunc(slices.Clone(before), func(id string) bool { return l.problems[id] == nil || l.problems[id].tries })
		l.mu.Unlock()
		l.recoverEach(l.done, ids)
		if pause = min(2*pause, recoverPauseMost); len(l.unrecovered()) < len(before) || len(before) == 0 {
			pause = recoverPause
		}
	}
}

// recoverOne takes over a sandbox that runs, and removes what is left of one that
// does not.
func (l *Local) recoverOne(ctx context.Context, id string) error {
	unlock, err := l.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := l.readState(id)
	if err == nil && l.alive(r) && l.hasSlot(r) {
		return l.takeOver(ctx, id, r)
	}
	if err == nil && r.Boot == l.boot && r.PID != 0 {
		l.mu.Lock()
		exit := engine.Exit{PoolFailed: l.failed[id]}
		l.mu.Unlock()
		if err := l.recordExit(id, &exit); err != nil {
			return err
		}
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		// It says nothing, and would say so at each start.
		if err := os.Remove(l.stateFile(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return l.sweep(ctx, id)
}

// sweep removes every trace of a sandbox that does not run, and its state file too
// where it has no disk.
func (l *Local) sweep(ctx context.Context, id string) error {
	l.Log.Debug("clean up after a sandbox that does not run", "sandbox", id)
	if err := l.clear(ctx, id); err != nil || l.disks.Exists(id) {
		return err
	}
	return os.RemoveAll(l.sandboxDir(id))
}

// takeOver goes on with a sandbox that an earlier server started. The caller holds
// the sandbox's lock.
func (l *Local) takeOver(ctx context.Context, id string, r runState) error {
	l.mu.Lock()
	c, p := l.running[id], l.problems[id]
	l.mu.Unlock()
	if err := l.cgroups.Thaw(id); err != nil {
		return err
	}
	if c == nil {
		err := l.attach(id, r)
		if errors.Is(err, errGone) { // just now
			return errors.Join(l.recordExit(id, &engine.Exit{}), l.sweep(ctx, id), l.slots.Release(l.slots.Adopt(r.Slot, r.IPv6)))
		}
		if err != nil {
			return err
		}
		if p != nil {
			l.mu.Lock()
			p.slot = nil // it is the container's
			l.mu.Unlock()
		}
	}
	if r.Policy.Names == nil && p == nil {
		return nil
	}
	l.mu.Lock()
	if c = l.running[id]; c != nil {
		c.stale = true
	}
	l.mu.Unlock()
	if c == nil {
		return nil // it has just ended
	}
	if err := l.resumeNetwork(id, &r); err != nil {
		return fmt.Errorf("apply its network policy again: %w", err)
	}
	l.mu.Lock()
	c.Policy, c.stale = r.Policy, false
	l.mu.Unlock()
	return nil
}
