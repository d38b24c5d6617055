package local

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/disk"
)

// BuildDisks are the disks of builds. They are in the pool, beside the sandboxes'.
// It implements engine.BuildDisks.
type BuildDisks struct {
	disks disk.Pool
	lock  func(ctx context.Context, id string) (unlock func(), err error)
}

// BuildDisks implements engine.Host.
func (l *Local) BuildDisks() engine.BuildDisks { return &BuildDisks{l.disks, l.lock} }

// BuildDisksIn are those in a pool that no engine has.
func BuildDisksIn(pool disk.Pool) *BuildDisks {
	return &BuildDisks{pool, func(context.Context, string) (func(), error) { return func() {}, nil }}
}

// buildPrefix marks the disks that are builds'; no sandbox's id begins so.
const buildPrefix = "build-"

func isBuildDisk(id string) bool { return strings.HasPrefix(id, buildPrefix) }

// Bound implements engine.BuildDisks.
func (d *BuildDisks) Bound(ctx context.Context, owner string, limit int64) (inForce int64, err error) {
	err = d.with(ctx, owner, func(string) (err error) {
		inForce, err = d.disks.Bound(buildPrefix+owner, limit)
		return err
	})
	return inForce, err
}

// Create implements engine.BuildDisks.
func (d *BuildDisks) Create(ctx context.Context, owner, name string, limit int64) error {
	return d.with(ctx, name, func(id string) error {
		if d.Failed() {
			return engine.ErrPoolFailed
		}
		err := d.disks.CreateIn(buildPrefix+owner, id, limit)
		if errors.Is(err, disk.ErrFull) {
			err = fmt.Errorf("%w: %w", engine.ErrNoSpace, err)
		}
		return err
	})
}

// Dirs implements engine.BuildDisks.
func (d *BuildDisks) Dirs(name string) (upper, work string) {
	path := d.disks.Path(buildPrefix + name)
	return filepath.Join(path, disk.Upper), filepath.Join(path, disk.Work)
}

// NameAt implements engine.BuildDisks.
func (d *BuildDisks) NameAt(path string) (name string, ok bool) {
	rel, err := filepath.Rel(d.disks.Path(""), path)
	if err != nil {
		return "", false
	}
	id, _, _ := strings.Cut(rel, string(filepath.Separator))
	return strings.CutPrefix(id, buildPrefix)
}

// Exists implements engine.BuildDisks.
func (d *BuildDisks) Exists(name string) bool { return d.disks.Exists(buildPrefix + name) }

// Delete implements engine.BuildDisks.
func (d *BuildDisks) Delete(ctx context.Context, name string) error {
	return d.with(ctx, name, d.disks.Delete)
}

// List implements engine.BuildDisks.
func (d *BuildDisks) List() ([]string, error) {
	ids, err := d.disks.List()
	if err != nil {
		return nil, fmt.Errorf("list the disks of builds: %w", err)
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return !isBuildDisk(id) })
	for i := range ids {
		ids[i] = strings.TrimPrefix(ids[i], buildPrefix)
	}
	return ids, nil
}

// Used implements engine.BuildDisks.
func (d *BuildDisks) Used(name string) (int64, error) { return d.disks.Used(buildPrefix + name) }

// OwnerUsed implements engine.BuildDisks.
func (d *BuildDisks) OwnerUsed(owner string) (int64, error) {
	return d.disks.GroupUsed(buildPrefix + owner)
}

// Settle implements engine.BuildDisks.
func (d *BuildDisks) Settle(ctx context.Context) error { return d.disks.Settle(ctx) }

// Size implements engine.BuildDisks.
func (d *BuildDisks) Size() (int64, error) { return d.disks.Size() }

// Free implements engine.BuildDisks.
func (d *BuildDisks) Free() (int64, error) { return d.disks.Free() }

// Failed implements engine.BuildDisks.
func (d *BuildDisks) Failed() bool { return d.disks.Failed() }

// Mounts implements engine.BuildDisks.
func (d *BuildDisks) Mounts() ([]string, error) {
	at := d.disks.Path("")
	all, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, fmt.Errorf("look for mounts of build disks: %w", err)
	}
	var pool *mountinfo.Info // where the disks are
	for _, m := range all {
		if above := m.Mountpoint == "/" || m.Mountpoint == at || strings.HasPrefix(at, m.Mountpoint+"/"); above && (pool == nil || len(m.Mountpoint) >= len(pool.Mountpoint)) {
			pool = m
		}
	}
	var found []string
	for _, m := range all {
		if pool != nil && m.Major == pool.Major && m.Minor == pool.Minor && strings.Contains(m.Root, "/"+buildPrefix) {
			found = append(found, m.Mountpoint)
		}
	}
	return found, nil
}

// with runs do with the disk's id while nobody else works on it and the pool is
// not being brought back.
func (d *BuildDisks) with(ctx context.Context, name string, do func(id string) error) error {
	id := buildPrefix + name
	unlock, err := d.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	return do(id)
}
