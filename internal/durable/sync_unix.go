//go:build unix

package durable

import (
	"errors"
	"os"
)

// SyncFile makes what a file holds last.
func SyncFile(path string) error { return sync(path) }

// SyncDir makes the names in a directory last: what was made, renamed and
// removed there.
func SyncDir(path string) error { return sync(path) }

func sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
