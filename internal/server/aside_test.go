package server

import (
	"context"
	"time"

	"github.com/opendaytona/daytona/internal/engine"
)

// SetAside is engine.Custodian.
func (m *memoryEngine) SetAside(_ context.Context, d engine.Disk, _ time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.running[d.ID]; !ok {
		return engine.ErrNotFound
	}
	delete(m.running, d.ID)
	m.aside = append(m.aside, d)
	return nil
}

// BringBack is engine.Custodian.
func (m *memoryEngine) BringBack(_ context.Context, d engine.Disk) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, other := range m.aside {
		if other == d {
			m.aside = append(m.aside[:i], m.aside[i+1:]...)
			m.running[d.ID] = false
			return nil
		}
	}
	return engine.ErrNotFound
}

// DeleteAside is engine.Custodian.
func (m *memoryEngine) DeleteAside(ctx context.Context, d engine.Disk) error {
	if m.BringBack(ctx, d) == nil {
		return m.set(d.ID, false, false)
	}
	return nil
}

// Aside is engine.Custodian.
func (m *memoryEngine) Aside(context.Context) ([]engine.Disk, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]engine.Disk(nil), m.aside...), nil
}

// Record is engine.Custodian; nothing is kept here.
func (m *memoryEngine) Record(context.Context, engine.Disk) ([]byte, error) { return nil, nil }
