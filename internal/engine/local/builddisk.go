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

// BuildDisks are the disks that builds write to. They are in the pool, beside the
// sandboxes' and limited by the kernel as these are: each by itself, and those of
// one owner together. Nobody notes them; the builder knows which it needs.
type BuildDisks struct {
	disks disk.Pool
	lock  func(ctx context.Context, id string) (unlock func(), err error)
}

// BuildDisks are this engine's.
func (l *Local) BuildDisks() *BuildDisks { return &BuildDisks{l.disks, l.lock} }

// BuildDisksIn are those in a pool that no engine has.
func BuildDisksIn(pool disk.Pool) *BuildDisks {
	return &BuildDisks{pool, func(context.Context, string) (func(), error) { return func() {}, nil }}
}

// buildPrefix marks the disks that are builds'; no sandbox's id begins so.
const buildPrefix = "build-"

func isBuildDisk(id string) bool { return strings.HasPrefix(id, buildPrefix) }

// Bound limits what the disks of an owner take together. The limit in force is the
// former one where the pool may not promise them more.
func (d *BuildDisks) Bound(ctx context.Context, owner string, limit int64) (inForce int64, err error) {
	err = d.with(ctx, owner, func(string) (err error) {
		inForce, err = d.disks.Bound(buildPrefix+owner, limit)
		return err
	})
	return inForce, err
}

// Create makes a disk of an owner that Bound has named; one that is there stays.
// Errors: engine.ErrNoSpace; unix.EDQUOT, when the owner's disks are at their
// limit.
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

// Dirs are where a disk is written to, as overlayfs wants it.
func (d *BuildDisks) Dirs(name string) (upper, work string) {
	path := d.disks.Path(buildPrefix + name)
	return filepath.Join(path, disk.Upper), filepath.Join(path, disk.Work)
}

// NameAt is the name of the disk that a path is on.
func (d *BuildDisks) NameAt(path string) (name string, ok bool) {
	rel, err := filepath.Rel(d.disks.Path(""), path)
	if err != nil {
		return "", false
	}
	id, _, _ := strings.Cut(rel, string(filepath.Separator))
	return strings.CutPrefix(id, buildPrefix)
}

// Exists tells whether the disk is there.
func (d *BuildDisks) Exists(name string) bool { return d.disks.Exists(buildPrefix + name) }

// Delete removes a disk; a missing one is fine.
func (d *BuildDisks) Delete(ctx context.Context, name string) error {
	return d.with(ctx, name, d.disks.Delete)
}

// List names all of them.
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

// Used is what a disk takes.
func (d *BuildDisks) Used(name string) (int64, error) { return d.disks.Used(buildPrefix + name) }

// OwnerUsed is what the disks of an owner take together.
func (d *BuildDisks) OwnerUsed(owner string) (int64, error) {
	return d.disks.GroupUsed(buildPrefix + owner)
}

// Settle returns when the space of deleted disks has come back, or with ctx.
func (d *BuildDisks) Settle(ctx context.Context) error { return d.disks.Settle(ctx) }

// Size is how much the pool has for all disks, and Free what is left of it.
func (d *BuildDisks) Size() (int64, error) { return d.disks.Size() }

// Free is what the pool has left.
func (d *BuildDisks) Free() (int64, error) { return d.disks.Free() }

// Failed tells whether the pool takes no more writes.
func (d *BuildDisks) Failed() bool { return d.disks.Failed() }

// Holds tells whether a mount shows one of the disks.
func (d *BuildDisks) Holds(m *mountinfo.Info) bool {
	at := d.disks.Path("")
	above, err := mountinfo.GetMounts(mountinfo.ParentsFilter(at))
	if err != nil || len(above) == 0 {
		return false
	}
	of := slices.MaxFunc(above, func(a, b *mountinfo.Info) int { return len(a.Mountpoint) - len(b.Mountpoint) })
	return m.Major == of.Major && m.Minor == of.Minor && strings.Contains(m.Root, "/"+buildPrefix)
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
