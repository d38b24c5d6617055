// Package disk keeps the sandboxes' disks: one directory tree each, limited in
// size where the filesystem can. Pool is the contract; btrfs.go is the pool to
// have, plain.go the last resort. It imports only package durable of the project;
// package local opens one and package rootfs mounts what it holds.
package disk

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
)

// Pool holds disks by sandbox id. Its methods may be repeated after a crash
// and may run at once for different ids.
type Pool interface {
	// Create makes the disk with its three directories, or sets a new limit on
	// the one that is there. Errors: ErrFull.
	Create(id string, limit int64) error
	// Resize sets the limit of a disk, but none below what it holds. Errors:
	// *TooSmall, fs.ErrNotExist.
	Resize(id string, limit int64) error
	// Lend lets a full disk take more than limit, which is its own, until the result
	// is called: without room a sandbox's root can only be mounted read-only.
	// Errors: fs.ErrNotExist.
	Lend(id string, limit int64) (giveBack func() error, err error)
	// Copy makes the disk to of what the disk from holds at one moment; one
	// that is there stays. hold is called just before the moment and its result
	// soon after it: they bracket what must not change meanwhile. The kind of
	// pool decides how long that is. Errors: ErrFull, fs.ErrNotExist.
	Copy(ctx context.Context, from, to string, limit int64, hold func() (release func(), err error)) error
	// Sync returns when a disk would be there after a loss of power, with its limit
	// and its record: Create and Copy do not wait for that. What was written to
	// it is its user's to sync.
	Sync(id string) error
	// Bound makes the group, or sets a new limit on the one that is there, of
	// what its disks take together; 0 is no limit. The limit in force is the
	// former one where the pool may not promise the group's disks more.
	Bound(group string, limit int64) (inForce int64, err error)
	// CreateIn makes a disk, as Create does, in a group that Bound has made.
	// Errors: ErrFull.
	CreateIn(group, id string, limit int64) error
	// GroupUsed is how many bytes the disks of the group take together, as far as
	// the pool counts them.
	GroupUsed(group string) (int64, error)
	// Path is where the disk of that id is, whether it exists or not.
	Path(id string) string
	// Exists tells whether the disk is there.
	Exists(id string) bool
	// Used is how many bytes the disk takes, as far as the pool counts them.
	Used(id string) (int64, error)
	// Limit is what it may take; 0 where nothing limits it.
	Limit(id string) (int64, error)
	// Delete removes the disk for good; a missing one is fine. Space comes back a
	// little later.
	Delete(id string) error
	// List names all disks, but for those set aside.
	List() ([]string, error)
	// SetAside moves a disk out of sight of all methods but Aside, Restore and
	// DeleteAside. Its record stays readable. Errors: fs.ErrNotExist.
	SetAside(id string) error
	// Restore undoes SetAside. Errors: fs.ErrNotExist, fs.ErrExist.
	Restore(id string) error
	// Aside names the disks that are set aside.
	Aside() ([]string, error)
	// DeleteAside removes a disk that is set aside; a missing one is fine.
	DeleteAside(id string) error
	// SetRecord keeps what its owner wants to know of a disk when all else is
	// lost. One that has no disk yet must get one soon, or it goes at the next
	// Open.
	SetRecord(id string, record []byte) error
	// Record is what SetRecord kept; nil for nothing.
	Record(id string) ([]byte, error)
	// Failed reports whether the pool takes no more writes: the kernel has made
	// it read-only after an error.
	Failed() bool
	// Revive brings a failed pool back; what it held at its last commit, and what
	// was synced since, is there. All that uses a disk must have ended, and no
	// other method may run. Errors: when it cannot be, for now or for ever.
	Revive(ctx context.Context) error
	// Settle returns when the space of deleted disks has come back, or with ctx.
	Settle(ctx context.Context) error
	// Size is how much the pool has in all, and Free what is left of it.
	Size() (int64, error)
	Free() (int64, error)
	// Kind names the pool for people.
	Kind() string
	// Close unmounts what Open mounted when keep is false; the disks stay.
	Close(keep bool) error
}

// The directories of a disk.
const (
	Upper = "upper" // overlayfs' upper layer
	Work  = "work"  // overlayfs' work directory
	Data  = "data"  // what is bound over the rootfs: the image's volumes and the like
)

// ErrFull says that the pool has no room for another disk.
var ErrFull = errors.New("the disk pool is full")

// reserve is what a pool keeps free: btrfs needs room to delete.
const reserve = 256 << 20

// mountName is where a pool of its own is mounted, in the pool's directory.
const mountName = "mnt"

// HasFailed reports whether the pool in dir, which an earlier server opened,
// is mounted and takes no more writes.
func HasFailed(dir string) bool {
	at := filepath.Join(dir, mountName)
	return isBtrfs(at) && readOnly(at)
}

// Config says where a pool lives.
type Config struct {
	Dir  string // made by Open
	Size int64  // of the file a pool of its own is made in; 0 is half of the free space
	// Oversubscribe bounds what all disks can take together by their limits and
	// their groups', in times of the pool's size; 0 is no bound.
	Oversubscribe float64
	Sparse        bool  // the file takes what is written: for a pool that goes again in a moment
	KeepFree      int64 // bytes of the filesystem below that are not the pool's to take
	Logger        *slog.Logger
}

// Open finds or makes the best pool that dir's filesystem and the kernel allow.
func Open(ctx context.Context, c Config) (Pool, error) {
	p, err := openBtrfs(ctx, c)
	if errors.Is(err, errNoBtrfs) {
		c.Logger.Warn("SANDBOX DISKS ARE NOT LIMITED: one sandbox can fill this machine's disk; install btrfs-progs on a kernel with btrfs",
			"reason", err)
		return OpenPlain(c)
	}
	return p, err
}
