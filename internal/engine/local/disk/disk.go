// Package disk keeps the sandboxes' own disks: what each one writes above its
// image. A Pool is one place for all of them; Open picks the best kind that
// this machine has. It imports nothing of the house.
package disk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
)

// Pool is a place for disks. Calls for different ids may run at once.
type Pool interface {
	// Create makes the disk of id, which may hold limit bytes. An existing disk
	// gets the new limit.
	Create(id string, limit int64) error
	// Path is the directory of id's disk.
	Path(id string) string
	// Delete removes the disk of id; a missing one is fine.
	Delete(id string) error
	// List tells the ids of all disks.
	List() ([]string, error)
	// Used tells how many bytes the disk of id takes, as far as the pool knows.
	Used(id string) (int64, error)
	// Kind names the pool for the log.
	Kind() string
	// Close lets go of the pool, and frees what it holds in the kernel unless
	// a sandbox still uses it.
	Close() error
}

// The parts of every disk, below its Path.
const (
	Upper = "upper" // of the overlay
	Work  = "work"  // of the overlay
	Data  = "data"  // what is mounted over the overlay: volumes
)

// Options of Open.
type Options struct {
	Dir  string // of the server's data; the pool lives below it
	Size int64  // bytes a loop pool may grow to; 0 is nine tenths of what is free
	Log  *slog.Logger
}

// Open finds or makes the pool below o.Dir: on btrfs when the directory is on
// it, else on btrfs in a sparse file, else in plain directories, which cannot
// limit what a sandbox writes.
func Open(ctx context.Context, o Options) (Pool, error) {
	root := filepath.Join(o.Dir, "pool")
	if err := os.MkdirAll(root, 0o711); err != nil {
		return nil, fmt.Errorf("open disk pool: %w", err)
	}
	p, err := openBtrfs(ctx, root, o)
	if errors.Is(err, errNoBtrfs) {
		o.Log.Warn("disk limits are not enforced: this kernel has no btrfs; sandboxes write to plain directories", "reason", err)
		return openPlain(root)
	}
	return p, err
}

func makeParts(dir string) error {
	for _, part := range []string{Upper, Work, Data} {
		if err := os.Mkdir(filepath.Join(dir, part), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}
