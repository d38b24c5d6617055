package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	continuity "github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/durable"
)

// A snapshot writes what the disk has in memory, and its sandbox stands still
// meanwhile. So that is written before, while the sandbox runs, until little is
// left; and whatever is left, the sandbox stands no longer than holdLimit: to
// itself the snapshot is one moment, and what was synced before it is in it.
const (
	holdLimit  = 40 * time.Millisecond
	littleLeft = 10 * time.Millisecond
	rehearsals = 4
)

// Copy is Pool's.
func (p *btrfs) Copy(ctx context.Context, from, to string, limit int64, hold func() (func(), error)) error {
	if p.Exists(to) {
		return nil
	}
	if !p.Exists(from) {
		return fmt.Errorf("copy disk %s: %w", from, fs.ErrNotExist)
	}
	dir, err := os.Open(p.disks)
	if err != nil {
		return fmt.Errorf("copy disk %s: %w", from, err)
	}
	defer dir.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &st); err == nil && int64(st.Bavail)*st.Bsize < reserve {
		return fmt.Errorf("copy disk %s: %w", from, ErrFull)
	}
	tmp := ".new-" + to
	err = p.snapshot(ctx, dir, from, tmp, hold)
	if err == nil {
		defer p.lockPromises()()
		err = p.promise(func(ps promises) { ps.disks[to] = promised{limit: limit} })
	}
	if err == nil {
		err = p.settle(tmp, to, limit)
	}
	if err != nil {
		err = errors.Join(err, destroySubvolume(dir, tmp))
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		err = errors.Join(ErrFull, err)
	}
	if err != nil {
		return fmt.Errorf("copy disk %s to %s: %w", from, to, err)
	}
	return nil
}

func (p *btrfs) snapshot(ctx context.Context, dir *os.File, from, tmp string, hold func() (func(), error)) error {
	for range rehearsals {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := destroySubvolume(dir, tmp); err != nil {
			return err
		}
		began := time.Now()
		if err := snapshotSubvolume(dir, tmp, p.Path(from)); err != nil {
			return err
		}
		if time.Since(began) < littleLeft {
			break
		}
	}
	if err := destroySubvolume(dir, tmp); err != nil {
		return err
	}
	release, err := hold()
	if err != nil {
		return err
	}
	release = sync.OnceFunc(release)
	defer release()
	defer time.AfterFunc(holdLimit, release).Stop()
	return snapshotSubvolume(dir, tmp, p.Path(from))
}

// settle makes the copy a disk of its own.
func (p *btrfs) settle(tmp, to string, limit int64) error {
	path := filepath.Join(p.disks, tmp)
	if err := renewWork(path); err != nil {
		return err
	}
	if err := setLimit(path, limit); err != nil {
		return err
	}
	return os.Rename(path, p.Path(to))
}

// renewWork empties overlayfs' work directory: what is there belongs to a mount
// that goes on elsewhere.
func renewWork(path string) error {
	work := filepath.Join(path, Work)
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	return os.Mkdir(work, 0o755)
}

// Copy is Pool's. A directory has no moment: the sandbox is held until all is
// copied, which takes as long as the disk is large; a filesystem with reflinks
// makes it short.
func (p *plain) Copy(ctx context.Context, from, to string, _ int64, hold func() (func(), error)) error {
	if p.Exists(to) {
		return nil
	}
	if !p.Exists(from) {
		return fmt.Errorf("copy disk %s: %w", from, fs.ErrNotExist)
	}
	tmp := filepath.Join(p.disks, ".new-"+to)
	err := os.RemoveAll(tmp)
	if err == nil {
		var release func()
		if release, err = hold(); err == nil {
			err = continuity.CopyDir(tmp, p.Path(from))
			release()
		}
	}
	if err == nil {
		err = errors.Join(renewWork(tmp), ctx.Err())
	}
	if err == nil {
		err = durable.SyncFilesystem(tmp)
	}
	if err == nil {
		err = os.Rename(tmp, p.Path(to))
	}
	if errors.Is(err, unix.ENOSPC) {
		err = errors.Join(ErrFull, err)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("copy disk %s to %s: %w", from, to, err), os.RemoveAll(tmp))
	}
	return nil
}
