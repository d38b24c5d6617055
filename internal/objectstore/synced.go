package objectstore

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/durable"
)

// The library gives an upload its name before its bytes are on the disk. A loss of
// power in between leaves an archive of the right size without its bytes, which
// nobody was told is there, and which clients do not send again since its name is
// there. So what was synced has a mark, which the library has no right to set,
// and which a file that takes another one's place does not have.
const syncedMark = "trusted.daytona.synced"

// etagName is where the library keeps an object's ETag. It is there before the
// object has its name.
const etagName = "user.etag"

// markingName is the file that says that this directory's archives have marks. A
// store from before has none.
const markingName = "marking"

func mark(f *os.File) error {
	if err := unix.Fsetxattr(int(f.Fd()), syncedMark, []byte{1}, 0); err != nil {
		return fmt.Errorf("mark as synced: %w", err)
	}
	return f.Sync()
}

// attribute is an extended attribute of a file, "" where it has none.
func attribute(f *os.File, name string) (string, error) {
	var value [256]byte
	n, err := unix.Fgetxattr(int(f.Fd()), name, value[:])
	if errors.Is(err, unix.ENODATA) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read attribute %s: %w", name, err)
	}
	return string(value[:n]), nil
}

// dropUnsynced removes the archives whose bytes may have been lost, before
// anybody asks for them.
func (s *Store) dropUnsynced() error {
	marking := filepath.Join(s.Dir, markingName)
	_, err := os.Stat(marking)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	marked := err == nil
	err = fs.WalkDir(s.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hash, organizationID := path.Base(path.Dir(name)), path.Dir(path.Dir(name))
		if !d.Type().IsRegular() || path.Base(name) != archiveName || strings.ContainsRune(organizationID, '/') {
			return nil
		}
		f, err := s.archive(organizationID, hash)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		defer f.Close()
		if value, err := attribute(f, syncedMark); value != "" || err != nil {
			return err
		}
		if marked {
			whole, err := matchesETag(f)
			if err != nil {
				return fmt.Errorf("read %s: %w", name, err)
			}
			if !whole {
				s.Log.Warn("remove an upload that a crash interrupted", "context", name)
				return s.root.Remove(name)
			}
		}
		return errors.Join(f.Sync(), mark(f))
	})
	if err != nil || marked {
		return err
	}
	return durable.WriteFile(marking, nil, 0o600)
}

// matchesETag tells whether the bytes of an archive without a mark are those that
// were uploaded. Those of an upload in parts cannot be told, and count as lost. A
// file without ETag was put here by no upload, but as by the copy of a backup.
func matchesETag(f *os.File) (bool, error) {
	etag, err := attribute(f, etagName)
	if err != nil || etag == "" {
		return err == nil, err
	}
	sum, err := sumOf(f)
	return sum == strings.Trim(etag, `"`), err
}

// sumOf is the MD5 of a file's bytes, as ETags are.
func sumOf(f *os.File) (string, error) {
	h := md5.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, 1<<62)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// versionOf tells the bytes of an archive from others of its name.
func versionOf(f *os.File) (string, error) {
	etag, err := attribute(f, etagName)
	if err != nil || etag != "" {
		return strings.Trim(etag, `"`), err
	}
	return sumOf(f)
}

// Version implements Contexts.
func (s *Store) Version(_ context.Context, organizationID, hash string) (string, error) {
	f, err := s.archive(organizationID, hash)
	if err != nil {
		return "", fmt.Errorf("context %s: %w", hash, err)
	}
	defer f.Close()
	version, err := versionOf(f)
	if err != nil {
		return "", fmt.Errorf("context %s: %w", hash, err)
	}
	return version, nil
}
