package durable

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// SyncFilesystem syncs all of the filesystem at path. It is for trees of many
// files that a library has written; it waits for what everybody else has written
// to the filesystem too.
func SyncFilesystem(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	err = unix.Syncfs(int(f.Fd()))
	if err != nil {
		err = fmt.Errorf("sync the filesystem of %s: %w", path, err)
	}
	return errors.Join(err, f.Close())
}
