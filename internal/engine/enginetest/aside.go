package enginetest

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/opendaytona/daytona/internal/engine"
)

// at is where a disk is that is in use.
func (m *Machine) at(d engine.Disk) map[string]*disk {
	if d.Capture {
		return m.captures
	}
	return m.disks
}

// SetAside implements engine.Custodian.
func (e *Engine) SetAside(ctx context.Context, d engine.Disk, _ time.Duration) error {
	return e.do(ctx, "SetAside", d.ID, d.ID, func(m *Machine) error {
		if m.aside[d] != nil {
			return nil
		}
		it := m.at(d)[d.ID]
		if it == nil {
			return engine.ErrNotFound
		}
		if !d.Capture {
			m.stop(d.ID)
		}
		delete(m.at(d), d.ID)
		m.aside[d] = it
		return nil
	})
}

// Restore implements engine.Custodian.
func (e *Engine) Restore(ctx context.Context, d engine.Disk) error {
	return e.do(ctx, "Restore", d.ID, d.ID, func(m *Machine) error {
		it := m.aside[d]
		switch {
		case it == nil && m.at(d)[d.ID] == nil:
			return engine.ErrNotFound
		case it == nil:
			return nil
		}
		delete(m.aside, d)
		m.at(d)[d.ID] = it
		return nil
	})
}

// DeleteAside implements engine.Custodian.
func (e *Engine) DeleteAside(ctx context.Context, d engine.Disk) error {
	return e.do(ctx, "DeleteAside", d.ID, d.ID, func(m *Machine) error {
		delete(m.aside, d)
		return nil
	})
}

// Aside implements engine.Custodian.
func (e *Engine) Aside(ctx context.Context) (all []engine.Disk, err error) {
	err = e.do(ctx, "Aside", "", "", func(m *Machine) error {
		for d := range m.aside {
			all = append(all, d)
		}
		slices.SortFunc(all, func(a, b engine.Disk) int { return cmp.Compare(a.ID, b.ID) })
		return nil
	})
	return all, err
}

// Record implements engine.Custodian.
func (e *Engine) Record(ctx context.Context, d engine.Disk) (record []byte, err error) {
	err = e.do(ctx, "Record", d.ID, "", func(m *Machine) error {
		it := m.aside[d]
		if it == nil {
			it = m.at(d)[d.ID]
		}
		if it != nil {
			record = slices.Clone(it.record)
		}
		return nil
	})
	return record, err
}
