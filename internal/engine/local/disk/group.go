package disk

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A group is a quota group above those of its disks' subvolumes: the kernel
// counts what they hold to it as well, and lets none of them write when it is at
// its limit. It stays when it is empty, and takes a few hundred bytes then.

// groupLevel is the level of our quota groups, which nobody else is likely to use
// on a filesystem that is not the server's alone.
const groupLevel = 0x6474

// groupID names a group for the kernel.
func groupID(group string) uint64 {
	sum := sha256.Sum256([]byte(group))
	return groupLevel<<48 | binary.BigEndian.Uint64(sum[:])>>16
}

// groupFile is how sysfs names it.
func groupFile(id uint64) string { return fmt.Sprintf("%d_%d", id>>48, id&(1<<48-1)) }

// Bound is Pool's.
func (p *btrfs) Bound(group string, limit int64) (inForce int64, err error) {
	inForce, err = p.bound(groupID(group), limit)
	if err != nil {
		return 0, fmt.Errorf("bound the disks of %s: %w", group, err)
	}
	return inForce, nil
}

func (p *btrfs) bound(group uint64, limit int64) (inForce int64, err error) {
	dir, err := os.Open(p.disks)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	if err := createQuotaGroup(dir, group); err != nil {
		return 0, fmt.Errorf("make a quota group: %w", err)
	}
	defer p.lockPromises()()
	// Only the disks that are there can take more by it: a group without any
	// promises nothing.
	err = p.promise(func(ps promises) { ps.groups[group] = limit })
	if errors.Is(err, ErrFull) {
		return p.quota(groupFile(group), "max_referenced")
	}
	if err != nil {
		return 0, err
	}
	return limit, limitQuotaGroup(dir, group, limit)
}

// CreateIn is Pool's.
func (p *btrfs) CreateIn(group, id string, limit int64) error {
	return p.create(id, limit, groupID(group))
}

// GroupUsed is Pool's.
func (p *btrfs) GroupUsed(group string) (int64, error) {
	n, err := p.used(groupFile(groupID(group)))
	if err != nil {
		return 0, fmt.Errorf("use of the disks of %s: %w", group, err)
	}
	return n, nil
}

// Size is Pool's.
func (r rooms) Size() (int64, error) {
	st, err := r.statfs()
	return int64(st.Blocks) * st.Bsize, err
}

// Free is Pool's.
func (r rooms) Free() (int64, error) {
	st, err := r.statfs()
	return int64(st.Bavail) * st.Bsize, err
}

func (r rooms) statfs() (st unix.Statfs_t, err error) {
	if err := unix.Statfs(r.disks, &st); err != nil {
		return st, fmt.Errorf("statfs %s: %w", r.disks, err)
	}
	return st, nil
}

// Bound is Pool's: directories have no limits, nor do groups of them.
func (p *plain) Bound(_ string, limit int64) (inForce int64, err error) { return limit, nil }

// CreateIn is Pool's.
func (p *plain) CreateIn(_, id string, limit int64) error { return p.Create(id, limit) }

// GroupUsed is Pool's.
func (p *plain) GroupUsed(string) (int64, error) { return 0, nil }

// Settle is Pool's: a directory's space is back when it is gone.
func (p *plain) Settle(context.Context) error { return nil }
