package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A new filesystem has 8 MiB for metadata, and gets more when those are in use.
// Where data takes the rest first, as in a pool that a few sandboxes fill, no
// name can be made or changed any more, though there may be room for data. So
// the pool has more metadata than the first 8 MiB hold from its beginning: large
// attributes of one file, which stay. The chunk that the filesystem sets aside for
// them, a tenth of a small one, is for metadata as long as they are in it. A mount
// with metadata_ratio would set chunks aside too, but the kernel takes back those
// that nothing uses.
const (
	metadataName = "metadata"
	// One attribute fills a node of the tree, of 16 KiB.
	attributeSize = 15 << 10
	attributes    = 640
)

func attributeName(i int) string { return fmt.Sprintf("trusted.kept.%d", i) }

// keepMetadata sets room for metadata aside in the filesystem at dir. It does
// nothing where that was done, and is unix.ENOSPC where it is too late.
func keepMetadata(dir string) error {
	path := filepath.Join(dir, metadataName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	fd := int(f.Fd())
	if _, err := unix.Fgetxattr(fd, attributeName(attributes-1), nil); err == nil {
		return nil
	}
	value := make([]byte, attributeSize)
	for i := range attributes {
		if err := unix.Fsetxattr(fd, attributeName(i), value, 0); err != nil {
			return errors.Join(&os.PathError{Op: "setxattr", Path: path, Err: err}, os.Remove(path))
		}
	}
	return nil
}
