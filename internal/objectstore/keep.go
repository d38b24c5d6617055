package objectstore

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// keep syncs what a request has stored before its answer says so: the library
// does not, and clients send no archive that is there already by its name.
func (s *Store) keep(res *http.Response) error {
	r := res.Request
	if res.StatusCode >= 300 || r.Method != http.MethodPut && r.Method != http.MethodPost {
		return nil
	}
	if q := r.URL.Query(); q.Has("partNumber") || q.Has("uploads") {
		return nil // of an upload that will be begun again
	}
	key := path.Clean(strings.Trim(strings.TrimPrefix(r.URL.Path, "/"+Bucket), "/"))
	if err := s.syncUp(key); err != nil {
		return fmt.Errorf("sync %s: %w", key, err)
	}
	return nil
}

// syncUp syncs a file or directory of the bucket, and those above it. A file has
// its mark afterwards.
func (s *Store) syncUp(name string) error {
	for ; ; name = path.Dir(name) {
		f, err := s.root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe has nobody at its other end
		if errors.Is(err, os.ErrNotExist) && name != "." {
			continue // removed since, as its owner may
		}
		if err != nil {
			return err
		}
		if err := errors.Join(keepFile(f), f.Close()); err != nil {
			return err
		}
		if name == "." {
			return nil
		}
	}
}

func keepFile(f *os.File) error {
	if err := f.Sync(); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	return mark(f)
}
