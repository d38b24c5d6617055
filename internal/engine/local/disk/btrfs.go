package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/durable"
)

// errNoBtrfs says that this machine cannot have a btrfs pool.
var errNoBtrfs = errors.New("no btrfs here")

// btrfs keeps each disk in a subvolume with a quota group: made and removed
// in a few milliseconds, limited by the filesystem, and cheap to snapshot.
//
// A subvolume is made and removed under a name that begins with a dot and
// renamed when it is whole, so that a crash never leaves half a disk that
// looks like one. Syncing the directory that subvolumes are in commits the
// filesystem's transaction, with their limits and all that is in them but for
// the bytes of files that were not synced.
type btrfs struct {
	rooms
	config Config
	loop   *loopMount
	qgroup string // sysfs directory of the quota groups, "" when quotas are off

	promises sync.Mutex // while limits are given

	mu    sync.Mutex
	stale []uint64            // quota groups whose subvolumes the cleaner still empties
	empty map[string]struct{} // disks that were just made and lent to nobody yet
}

func openBtrfs(ctx context.Context, c Config) (Pool, error) {
	if err := durable.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open disk pool: %w", err)
	}
	p := &btrfs{config: c, empty: map[string]struct{}{}}
	dir := c.Dir
	if !isBtrfs(filepath.Dir(c.Dir)) {
		m, err := mountLoop(ctx, c)
		if err != nil {
			return nil, err
		}
		p.loop, dir = m, m.target
		if err := keepMetadata(dir); errors.Is(err, unix.ENOSPC) {
			c.Logger.Warn("the disk pool is too full to set room for metadata aside: names may not be made or changed where data fills it; delete sandboxes and restart the server", "err", err)
		} else if err != nil {
			return nil, errors.Join(fmt.Errorf("open disk pool %s: %w", c.Dir, err), p.Close(false))
		}
	}
	if err := p.prepare(c, dir); err != nil {
		return nil, errors.Join(fmt.Errorf("open disk pool %s: %w", c.Dir, err), p.Close(false))
	}
	return p, nil
}

func (p *btrfs) prepare(c Config, at string) (err error) {
	if p.rooms, err = makeRooms(at); err != nil {
		return err
	}
	dir, err := os.Open(p.disks)
	if err != nil {
		return err
	}
	defer dir.Close()
	mode, err := enableQuota(dir)
	if err != nil {
		return fmt.Errorf("enable quotas: %w", err)
	}
	id, err := filesystemID(dir)
	if err != nil {
		return err
	}
	p.qgroup = filepath.Join("/sys/fs/btrfs", id, "qgroups")
	c.Logger.Debug("disk pool is open", "path", p.disks, "quotas", mode, "loop", p.loop != nil)
	return p.clean(dir)
}

// clean removes what a crash left half made or half removed, and the quota
// groups of subvolumes that are gone.
func (p *btrfs) clean(dir *os.File) error {
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	known := map[uint64]bool{}
	for _, name := range names {
		path := filepath.Join(p.disks, name)
		if strings.HasPrefix(name, ".") {
			if err := destroySubvolume(dir, name); err != nil {
				p.config.Logger.Error("remove a disk that is half made or half removed, which the next start of the server tries again", "path", path, "err", err)
			}
			continue
		}
		if id, err := subvolumeID(path); err == nil {
			known[id] = true
		}
	}
	aside, err := p.Aside()
	if err != nil {
		return err
	}
	for _, name := range aside {
		if id, err := subvolumeID(filepath.Join(p.aside, name)); err == nil {
			known[id] = true
		}
	}
	if err := p.dropStrayRecords(p.config.Logger); err != nil {
		return err
	}
	if p.loop == nil {
		return nil // other subvolumes of this filesystem are not ours to judge
	}
	groups, err := os.ReadDir(p.qgroup)
	if err != nil {
		return nil // an old kernel does not list them; they are only small
	}
	for _, g := range groups {
		id, found := strings.CutPrefix(g.Name(), "0_")
		if n, err := strconv.ParseUint(id, 10, 64); found && err == nil && n >= firstSubvolume && !known[n] {
			p.stale = append(p.stale, n)
		}
	}
	p.dropStale(dir)
	return nil
}

func (p *btrfs) Kind() string { return "btrfs" }

func (p *btrfs) Failed() bool { return readOnly(p.disks) || p.loop != nil && !isBtrfs(p.loop.target) }

func (p *btrfs) Revive(ctx context.Context) error {
	if p.loop == nil {
		return fmt.Errorf("the filesystem of %s is read-only, and it is not the server's to mount anew", p.disks)
	}
	if err := p.loop.remount(ctx, p.config); err != nil {
		return err
	}
	if err := p.loop.backFile(p.config); err != nil {
		return err
	}
	return p.prepare(p.config, p.loop.target)
}

func (p *btrfs) Create(id string, limit int64) error { return p.create(id, limit, 0) }

// create makes a disk in a quota group, 0 for none.
func (p *btrfs) create(id string, limit int64, group uint64) error {
	dir, err := os.Open(p.disks)
	if err != nil {
		return fmt.Errorf("create disk %s: %w", id, err)
	}
	defer dir.Close()
	defer p.lockPromises()()
	if p.Exists(id) {
		return p.giveLimit(id, limit)
	}
	if err := p.promise(func(ps promises) { ps.disks[id] = promised{limit, group} }); err != nil {
		return fmt.Errorf("create disk %s: %w", id, err)
	}
	if free, err := p.Free(); err == nil && free < reserve {
		return fmt.Errorf("create disk %s: %w", id, ErrFull)
	}
	tmp := ".new-" + id
	err = createSubvolume(dir, tmp)
	if errors.Is(err, unix.EEXIST) { // left by a Create that failed
		err = errors.Join(destroySubvolume(dir, tmp), createSubvolume(dir, tmp))
	}
	if err == nil {
		err = p.fill(dir, tmp, id, limit, group)
		if err != nil {
			err = errors.Join(err, destroySubvolume(dir, tmp))
		}
	}
	if errors.Is(err, unix.ENOSPC) {
		err = errors.Join(ErrFull, err)
	}
	if err != nil {
		return fmt.Errorf("create disk %s: %w", id, err)
	}
	if group == 0 { // those of builds are lent nothing
		p.mu.Lock()
		defer p.mu.Unlock()
		p.empty[id] = struct{}{}
	}
	return nil
}

// takeEmpty reports whether a disk has been empty until now.
func (p *btrfs) takeEmpty(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, is := p.empty[id]
	delete(p.empty, id)
	return is
}

func (p *btrfs) fill(dir *os.File, tmp, id string, limit int64, group uint64) error {
	path := filepath.Join(p.disks, tmp)
	if group != 0 {
		sub, err := subvolumeID(path)
		if err == nil {
			err = assignQuotaGroup(dir, sub, group)
		}
		if err != nil {
			return fmt.Errorf("count it to its group: %w", err)
		}
	}
	for _, name := range []string{Upper, Work, Data} {
		if err := os.Mkdir(filepath.Join(path, name), 0o755); err != nil {
			return err
		}
	}
	if err := setLimit(path, limit); err != nil {
		return err
	}
	return os.Rename(path, p.Path(id))
}

func (p *btrfs) Used(id string) (int64, error) {
	sub, err := subvolumeID(p.Path(id))
	if err != nil {
		return 0, fmt.Errorf("use of disk %s: %w", id, err)
	}
	n, err := p.used(subvolumeGroup(sub))
	if err != nil {
		return 0, fmt.Errorf("use of disk %s: %w", id, err)
	}
	return n, nil
}

// used is what a quota group counts.
func (p *btrfs) used(group string) (int64, error) {
	sum, err := p.quota(group, "referenced")
	if err != nil {
		return 0, err
	}
	// Data that was written since the last commit counts against the limit too.
	// Kernels that do not tell of it lag behind by half a minute. What is reserved
	// for metadata is many times what that will take.
	pending, _ := p.quota(group, "rsv_data")
	return sum + pending, nil
}

func (p *btrfs) Limit(id string) (int64, error) {
	sub, err := subvolumeID(p.Path(id))
	if err != nil {
		return 0, fmt.Errorf("limit of disk %s: %w", id, err)
	}
	n, err := p.quota(subvolumeGroup(sub), "max_referenced")
	if err != nil {
		return 0, fmt.Errorf("limit of disk %s: %w", id, err)
	}
	return n, nil
}

// subvolumeGroup is how sysfs names a subvolume's own quota group.
func subvolumeGroup(subvolume uint64) string { return fmt.Sprintf("0_%d", subvolume) }

// quota reads a number of a quota group.
func (p *btrfs) quota(group, name string) (int64, error) {
	b, err := os.ReadFile(filepath.Join(p.qgroup, group, name))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}

func (p *btrfs) Delete(id string) error { return p.remove(p.disks, id) }

func (p *btrfs) DeleteAside(id string) error { return p.remove(p.aside, id) }

func (p *btrfs) remove(room, id string) error {
	p.takeEmpty(id)
	if err := p.removeSubvolume(room, id); err != nil {
		return fmt.Errorf("delete disk %s: %w", id, err)
	}
	if err := p.dropRecord(id); err != nil {
		return fmt.Errorf("delete disk %s: %w", id, err)
	}
	return nil
}

func (p *btrfs) removeSubvolume(room, id string) error {
	sub, err := subvolumeID(filepath.Join(room, id))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	in, name := p.disks, fmt.Sprintf(".gone-%d-%s", sub, id)
	err = os.Rename(filepath.Join(room, id), filepath.Join(in, name))
	if errors.Is(err, unix.ENOSPC) {
		// A full filesystem has room for what frees some, which a new name is not.
		in, name, err = room, id, nil
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(in)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := destroySubvolume(dir, name); err != nil {
		return err
	}
	if err := dir.Sync(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stale = append(p.stale, sub)
	p.dropStale(dir)
	return nil
}

// dropStale removes the quota groups of deleted subvolumes that the cleaner
// has emptied by now. The kernel does that itself from 6.13 on.
func (p *btrfs) dropStale(dir *os.File) {
	var left []uint64
	for _, id := range p.stale {
		if err := destroyQuotaGroup(dir, id); errors.Is(err, unix.EBUSY) {
			left = append(left, id)
		}
	}
	p.stale = left
}

// settlePeriod is how often Settle looks.
const settlePeriod = 50 * time.Millisecond

// Settle is Pool's. The kernel takes deleted subvolumes apart when it has
// committed a transaction, by default every 30 seconds, which this asks for.
func (p *btrfs) Settle(ctx context.Context) error {
	dir, err := os.Open(p.disks)
	if err != nil {
		return fmt.Errorf("wait for the space of deleted disks: %w", err)
	}
	defer dir.Close()
	p.mu.Lock()
	wanted := slices.Clone(p.stale)
	p.mu.Unlock()
	for {
		if err := ioctl(dir, iocSync, nil); err != nil {
			return fmt.Errorf("wait for the space of deleted disks: %w", err)
		}
		wanted = slices.DeleteFunc(wanted, func(id uint64) bool {
			used, err := p.quota(subvolumeGroup(id), "referenced")
			return err != nil || used == 0
		})
		if len(wanted) == 0 {
			return nil
		}
		select {
		case <-time.After(settlePeriod):
		case <-ctx.Done():
			return fmt.Errorf("wait for the space of deleted disks: %w", context.Cause(ctx))
		}
	}
}

func (p *btrfs) Close(keep bool) error {
	if p.loop == nil || keep {
		return nil
	}
	return p.loop.unmount()
}

func isBtrfs(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.BTRFS_SUPER_MAGIC
}
