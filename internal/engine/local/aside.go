package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/opendaytona/daytona/internal/engine"
)

// SetRecord implements engine.Lifecycle.
func (l *Local) SetRecord(ctx context.Context, id string, record []byte) error {
	unlock, err := l.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	if !l.disks.Exists(id) {
		return fmt.Errorf("set record of sandbox %s: %w", id, engine.ErrNotFound)
	}
	return l.disks.SetRecord(id, record)
}

// diskID is the disk's name in the pool.
func diskID(d engine.Disk) string {
	if d.Capture {
		return capturePrefix + d.ID
	}
	return d.ID
}

// SetAside implements engine.Custodian.
func (l *Local) SetAside(ctx context.Context, d engine.Disk, grace time.Duration) error {
	id := diskID(d)
	unlock, err := l.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	if err = l.end(ctx, id, grace); err == nil {
		err = l.disks.SetAside(id)
	}
	if err == nil {
		err = os.RemoveAll(l.sandboxDir(id))
	}
	return asideError("set aside", d, err)
}

// Restore implements engine.Custodian.
func (l *Local) Restore(ctx context.Context, d engine.Disk) error {
	unlock, err := l.lock(ctx, diskID(d))
	if err != nil {
		return err
	}
	defer unlock()
	return asideError("restore", d, l.disks.Restore(diskID(d)))
}

// DeleteAside implements engine.Custodian.
func (l *Local) DeleteAside(ctx context.Context, d engine.Disk) error {
	unlock, err := l.lock(ctx, diskID(d))
	if err != nil {
		return err
	}
	defer unlock()
	return l.disks.DeleteAside(diskID(d))
}

// Aside implements engine.Custodian.
func (l *Local) Aside(context.Context) ([]engine.Disk, error) {
	ids, err := l.disks.Aside()
	if err != nil {
		return nil, err
	}
	disks := make([]engine.Disk, len(ids))
	for i, id := range ids {
		name, capture := strings.CutPrefix(id, capturePrefix)
		disks[i] = engine.Disk{ID: name, Capture: capture}
	}
	return disks, nil
}

// Record implements engine.Custodian.
func (l *Local) Record(_ context.Context, d engine.Disk) ([]byte, error) {
	return l.disks.Record(diskID(d))
}

func asideError(what string, d engine.Disk, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", engine.ErrNotFound, err)
	}
	if err != nil {
		return fmt.Errorf("%s disk %s: %w", what, diskID(d), err)
	}
	return nil
}
