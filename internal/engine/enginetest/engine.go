package enginetest

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/watch"
	"github.com/opendaytona/daytona/internal/keylock"
)

// Engine is the engine of a Machine. It implements engine.Engine.
type Engine struct {
	m     *Machine
	hub   watch.Hub
	locks keylock.Locks

	closed chan struct{}
	once   sync.Once
	agents agents
}

var _ engine.Engine = (*Engine)(nil)

var errClosed = errors.New("the engine is closed")

func newEngine(m *Machine) *Engine { return &Engine{m: m, closed: make(chan struct{})} }

// end is what Close does, and what the end of its process does to an engine.
func (e *Engine) end() {
	e.once.Do(func() {
		close(e.closed)
		e.hub.Close()
		e.agents.close()
	})
}

// Close implements engine.Engine.
func (e *Engine) Close() error {
	e.end()
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	if e.m.engine == e {
		e.m.engine = nil
	}
	return nil
}

// do runs one call, unless a fault comes over it. For calls of one sandbox the
// key is its id: they are made one after another.
func (e *Engine) do(ctx context.Context, method, id, key string, call func(m *Machine) error) error {
	err := e.attempt(ctx, method, id, key, call)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, id, err)
	}
	return nil
}

func (e *Engine) attempt(ctx context.Context, method, id, key string, call func(m *Machine) error) error {
	f := e.m.fault(method, id)
	if key != "" {
		unlock, err := e.locks.Lock(ctx, key)
		if err != nil {
			return err
		}
		defer unlock()
	}
	if f != nil {
		if err := f.wait(ctx, e.closed); err != nil {
			return err
		}
	}
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	if e.m.engine != e {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := call(e.m); err != nil {
		return err
	}
	if f != nil && f.After {
		return f.Err
	}
	return nil
}

// Create implements engine.Engine.
func (e *Engine) Create(ctx context.Context, s engine.Spec) error {
	return e.do(ctx, "Create", s.ID, s.ID, func(m *Machine) error {
		if m.lost[s.Image] {
			return engine.ErrImageMissing
		}
		if d := m.disks[s.ID]; d != nil {
			d.record = s.Record
			return nil
		}
		if m.DiskSize > 0 && m.promised()+s.Resources.Disk > m.DiskSize {
			return engine.ErrNoSpace
		}
		d := &disk{files: map[string]string{}, booted: -1}
		if s.From != "" {
			from := m.disks[s.From]
			if from == nil {
				return engine.ErrNotFound
			}
			d = from.copy()
		}
		d.limit, d.record = s.Resources.Disk, slices.Clone(s.Record)
		m.disks[s.ID] = d
		return nil
	})
}

// Start implements engine.Engine.
func (e *Engine) Start(ctx context.Context, s engine.Spec) error {
	return e.do(ctx, "Start", s.ID, s.ID, func(m *Machine) error {
		if m.running[s.ID] != nil {
			return nil
		}
		d := m.disks[s.ID]
		switch {
		case d == nil:
			return engine.ErrNotFound
		case m.lost[s.Image]:
			return engine.ErrImageMissing
		case m.Slots > 0 && len(m.running) >= m.Slots:
			return engine.ErrNoSlot
		}
		delete(m.broken, s.ID)
		d.booted, d.exit = m.boot, nil
		m.running[s.ID] = &process{spec: s, started: time.Now()}
		return nil
	})
}

// Stop implements engine.Engine.
func (e *Engine) Stop(ctx context.Context, id string, _ time.Duration) error {
	return e.do(ctx, "Stop", id, id, func(m *Machine) error {
		m.stop(id)
		return nil
	})
}

func (m *Machine) stop(id string) {
	delete(m.running, id)
	delete(m.broken, id)
}

// Delete implements engine.Engine.
func (e *Engine) Delete(ctx context.Context, id string) error {
	return e.do(ctx, "Delete", id, id, func(m *Machine) error {
		m.stop(id)
		delete(m.disks, id)
		return nil
	})
}

// SetNetwork implements engine.Engine.
func (e *Engine) SetNetwork(ctx context.Context, id string, n engine.Network) error {
	return e.do(ctx, "SetNetwork", id, id, func(m *Machine) error {
		if p := m.running[id]; p != nil {
			p.spec.Network = n
		}
		return nil
	})
}

// Resize implements engine.Engine.
func (e *Engine) Resize(ctx context.Context, id string, r engine.Resources) error {
	return e.do(ctx, "Resize", id, id, func(m *Machine) error {
		d, p := m.disks[id], m.running[id]
		if d == nil {
			return engine.ErrNotFound
		}
		if p != nil && r.Memory > 0 && p.memory > r.Memory {
			return &engine.TooSmall{Resource: "memory", Used: p.memory}
		}
		if used := d.used(); used > r.Disk {
			return &engine.TooSmall{Resource: "disk", Used: used}
		}
		if m.DiskSize > 0 && r.Disk > d.limit && m.promised()-d.limit+r.Disk > m.DiskSize {
			return engine.ErrNoSpace
		}
		d.limit = r.Disk
		if p != nil {
			p.spec.Resources = r
		}
		return nil
	})
}

// status is what there is to see of a sandbox. The caller holds the lock.
func (m *Machine) status(id string) (engine.Status, bool) {
	d, p, problem := m.disks[id], m.running[id], m.broken[id]
	if d == nil && p == nil && problem == "" {
		return engine.Status{}, false
	}
	st := engine.Status{ID: id, Phase: engine.PhaseStopped}
	if d != nil {
		st.DiskUsed, st.DiskLimit, st.Booted = d.used(), d.limit, d.booted == m.boot
		if d.exit != nil {
			exit := *d.exit
			st.Exit = &exit
		}
	}
	if p != nil {
		st.Phase, st.StartedAt, st.Booted = engine.PhaseRunning, p.started, true
	}
	if problem != "" {
		st.Phase, st.Problem = engine.PhaseFailed, problem
	}
	return st, true
}

// Inspect implements engine.Engine.
func (e *Engine) Inspect(ctx context.Context, id string) (st engine.Status, err error) {
	err = e.do(ctx, "Inspect", id, "", func(m *Machine) error {
		var ok bool
		if st, ok = m.status(id); !ok {
			return engine.ErrNotFound
		}
		return nil
	})
	return st, err
}

// List implements engine.Engine.
func (e *Engine) List(ctx context.Context) (all []engine.Status, err error) {
	err = e.do(ctx, "List", "", "", func(m *Machine) error {
		ids := maps.Clone(m.broken)
		for id := range m.disks {
			ids[id] = ""
		}
		for id := range m.running {
			ids[id] = ""
		}
		for _, id := range slices.Sorted(maps.Keys(ids)) {
			st, _ := m.status(id)
			all = append(all, st)
		}
		return nil
	})
	return all, err
}

// Health implements engine.Engine.
func (e *Engine) Health(ctx context.Context) error {
	return e.do(ctx, "Health", "", "", func(*Machine) error { return nil })
}

// CheckReach implements engine.Engine: every address may be reached, but for a
// fault of "CheckReach".
func (e *Engine) CheckReach(to netip.Addr) error {
	return e.do(context.Background(), "CheckReach", to.String(), "", func(*Machine) error { return nil })
}

// Watch implements engine.Observer.
func (e *Engine) Watch(ctx context.Context) <-chan engine.Event { return e.hub.Watch(ctx) }

// Dial implements engine.Engine.
func (e *Engine) Dial(ctx context.Context, id string) (conn net.Conn, err error) {
	err = e.do(ctx, "Dial", id, "", func(m *Machine) error {
		if m.running[id] == nil {
			return engine.ErrNotRunning
		}
		conn, err = e.agents.dial(m.Agent)
		return err
	})
	return conn, err
}

// Capture implements engine.Engine.
func (e *Engine) Capture(ctx context.Context, id, name string) error {
	return e.do(ctx, "Capture", id, id, func(m *Machine) error {
		if m.captures[name] != nil {
			return nil
		}
		d := m.disks[id]
		if d == nil {
			return engine.ErrNotFound
		}
		m.captures[name] = d.copy()
		return nil
	})
}

// Changes implements engine.Engine. The files of the capture's disk are all that
// was changed.
func (e *Engine) Changes(ctx context.Context, name, image string, layer io.Writer) error {
	var files map[string]string
	err := e.do(ctx, "Changes", name, "", func(m *Machine) error {
		d := m.captures[name]
		switch {
		case d == nil:
			return engine.ErrNotFound
		case m.lost[image]:
			return engine.ErrImageMissing
		}
		files = maps.Clone(d.files)
		return nil
	})
	if err != nil {
		return err
	}
	w := tar.NewWriter(layer)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(files[path]))}); err != nil {
			return err
		}
		if _, err := io.WriteString(w, files[path]); err != nil {
			return err
		}
	}
	return w.Close()
}

// Captures implements engine.Engine.
func (e *Engine) Captures(ctx context.Context) (names []string, err error) {
	err = e.do(ctx, "Captures", "", "", func(m *Machine) error {
		names = slices.Sorted(maps.Keys(m.captures))
		return nil
	})
	return names, err
}

// Discard implements engine.Engine.
func (e *Engine) Discard(ctx context.Context, name string) error {
	return e.do(ctx, "Discard", name, "", func(m *Machine) error {
		delete(m.captures, name)
		return nil
	})
}

// SetRecord implements engine.Lifecycle.
func (e *Engine) SetRecord(ctx context.Context, id string, record []byte) error {
	return e.do(ctx, "SetRecord", id, id, func(m *Machine) error {
		d := m.disks[id]
		if d == nil {
			return engine.ErrNotFound
		}
		d.record = slices.Clone(record)
		return nil
	})
}
