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

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/disk"
	"github.com/opendaytona/daytona/internal/space"
)

// A pool whose filesystem meets an error takes no more writes, and the kernel
// mounts it anew only when nobody uses it any more. So all sandboxes end then,
// the pool is brought back, and their owners start them again: what they had
// synced is there.

// poolConfig leaves pulls and builds as much again as they must leave free.
func (l *Local) poolConfig() disk.Config {
	return disk.Config{Dir: filepath.Join(l.DataDir, disksDir), Size: l.DiskSize, Oversubscribe: l.Oversubscribe, KeepFree: 2 * space.Reserve, Sparse: l.Trial, Logger: l.Log}
}

// openPool opens the pool; one that failed under an earlier server when what
// runs on it has ended.
func (l *Local) openPool(ctx context.Context) (err error) {
	c := l.poolConfig()
	if disk.HasFailed(c.Dir) {
		l.Log.Error("THE DISK POOL HAS FAILED: ending all sandboxes to bring it back", "pool", c.Dir)
		if err := l.endSurvivors(); err != nil {
			return err
		}
	}
	l.disks, err = disk.Open(ctx, c)
	return err
}

// endSurvivors kills the sandboxes that an earlier server started and that still
// run.
func (l *Local) endSurvivors() error {
	entries, err := os.ReadDir(filepath.Join(l.dir, sandboxesDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		r, err := l.readState(e.Name())
		if err != nil || !l.alive(r) {
			continue
		}
		l.failed[e.Name()] = true
		// Its processes go with its first; those of a frozen one when it thaws.
		if err := unix.Kill(r.PID, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			l.log(e.Name()).Error("kill a sandbox whose disk cannot be written", "err", err)
		}
		if err := l.cgroups.Kill(e.Name()); err != nil {
			l.log(e.Name()).Error("kill a sandbox whose disk cannot be written", "err", err)
		}
	}
	return nil
}

const (
	poolPeriod   = time.Second
	revivePause  = 2 * time.Second // after a failure, doubled with each
	reviveLonger = time.Minute
)

// watchPool brings the pool back when it has failed.
func (l *Local) watchPool() {
	tick := time.NewTicker(poolPeriod)
	defer tick.Stop()
	pause := revivePause
	for {
		select {
		case <-tick.C:
		case <-l.done.Done():
			return
		}
		if !l.disks.Failed() {
			pause = revivePause
			continue
		}
		if err := l.revivePool(l.done); err != nil && l.done.Err() == nil {
			l.Log.Error("bring the disk pool back", "err", err, "again in", pause)
			select {
			case <-time.After(pause):
			case <-l.done.Done():
				return
			}
			pause = min(2*pause, reviveLonger)
		}
	}
}

func (l *Local) revivePool(ctx context.Context) error {
	l.mu.Lock()
	for id := range l.running {
		l.failed[id] = true
	}
	l.mu.Unlock()
	l.Log.Error("THE DISK POOL HAS FAILED: ending all sandboxes to bring it back")
	if err := l.emptyPool(ctx); err != nil {
		return err
	}
	defer l.pool.Unlock()
	if err := l.disks.Revive(ctx); err != nil {
		return err
	}
	l.Log.Warn("the disk pool is back")
	return nil
}

// emptyPool returns with the pool's lock when no sandbox runs and no method is
// under way. Whatever goes on ends by the pool's errors; a start that does may be
// the last to come to an end.
func (l *Local) emptyPool(ctx context.Context) error {
	for {
		l.mu.Lock()
		ids := slices.Collect(maps.Keys(l.running))
		l.mu.Unlock()
		for _, id := range ids {
			if err := errors.Join(l.kill(id), l.cgroups.Kill(id)); err != nil {
				return fmt.Errorf("kill sandbox %s: %w", id, err)
			}
		}
		// A writer that waits would hold up the readers that hold another lock
		// already, so it only tries.
		if len(ids) == 0 && l.pool.TryLock() {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// usable fails while the pool is not.
func (l *Local) usable() error {
	if l.disks.Failed() {
		return engine.ErrPoolFailed
	}
	return nil
}

// Health tells whether the disks can be written. Errors: engine.ErrPoolFailed.
func (l *Local) Health(context.Context) error { return l.usable() }
