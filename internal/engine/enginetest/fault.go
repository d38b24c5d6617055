package enginetest

import (
	"context"
	"slices"
	"time"
)

// Fault is what comes over calls of an engine.
type Fault struct {
	Method string // such as "Start"; "" is every method
	ID     string // of the sandbox, capture or disk; "" is every one
	Times  int    // how many calls; 0 is all until the fault is removed

	Delay time.Duration // before the call does anything
	Hang  bool          // the call does nothing until its context ends, or the fault is removed
	After bool          // the call does what it should and fails then, as when its answer is lost
	Err   error         // what the call returns; nil lets it go on

	over chan struct{}
}

// Inject lets f come over the calls that begin from now on; of several that fit
// a call, the oldest does. The returned function removes it.
func (m *Machine) Inject(f Fault) (remove func()) {
	f.over = make(chan struct{})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = append(m.faults, &f)
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.faults = slices.DeleteFunc(m.faults, func(other *Fault) bool { return other == &f })
		select {
		case <-f.over:
		default:
			close(f.over)
		}
	}
}

// Heal removes all faults.
func (m *Machine) Heal() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.faults {
		select {
		case <-f.over:
		default:
			close(f.over)
		}
	}
	m.faults = nil
}

// fault notes a call and takes what comes over it.
func (m *Machine) fault(method, id string) *Fault {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, Call{method, id})
	for i, f := range m.faults {
		if f.Method != "" && f.Method != method || f.ID != "" && f.ID != id {
			continue
		}
		if f.Times == 1 {
			m.faults = slices.Delete(m.faults, i, i+1)
		} else if f.Times > 1 {
			f.Times--
		}
		return f
	}
	return nil
}

// wait is what comes before the call's work. Errors: the fault's; ctx's.
func (f *Fault) wait(ctx context.Context, closed <-chan struct{}) error {
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-ctx.Done():
			return ctx.Err()
		case <-closed:
			return errClosed
		}
	}
	if f.Hang {
		select {
		case <-f.over:
		case <-ctx.Done():
			return ctx.Err()
		case <-closed:
			return errClosed
		}
	}
	if f.After {
		return nil
	}
	return f.Err
}
