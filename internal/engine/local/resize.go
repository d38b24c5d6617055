package local

import (
	"context"
	"errors"
	"fmt"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/disk"
)

// spare is what a lower limit of memory leaves free at least: what the sandbox
// takes while the limit is set must not get it killed.
const spare = 64 << 20

// Resize implements engine.Engine.
func (l *Local) Resize(ctx context.Context, id string, r engine.Resources) error {
	unlock, err := l.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.resize(id, r); err != nil {
		return fmt.Errorf("resize sandbox %s: %w", id, err)
	}
	return nil
}

func (l *Local) resize(id string, r engine.Resources) error {
	if !l.disks.Exists(id) {
		return engine.ErrNotFound
	}
	l.mu.Lock()
	running := l.running[id] != nil
	l.mu.Unlock()
	if running && r.Memory > 0 && r.Memory < l.cgroups.MemoryLimit(id) {
		if used := l.cgroups.Memory(id); used+spare > r.Memory {
			return &engine.TooSmall{Resource: "memory", Used: used}
		}
	}
	err := l.disks.Resize(id, r.Disk)
	if full := (*disk.TooSmall)(nil); errors.As(err, &full) {
		return &engine.TooSmall{Resource: "disk", Used: full.Used}
	}
	if errors.Is(err, disk.ErrFull) {
		err = fmt.Errorf("%w: %w", engine.ErrNoSpace, err)
	}
	if err != nil || !running {
		return err
	}
	if r.Memory > 0 {
		if err := l.cgroups.SetMemory(id, r.Memory); err != nil {
			return err
		}
	}
	if r.CPU > 0 {
		return l.cgroups.SetCPU(id, r.CPU)
	}
	return nil
}
