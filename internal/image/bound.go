package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
)

// ErrTooLarge says that an image takes more than it may, unpacked. The text that
// follows it tells what.
var ErrTooLarge = errors.New("it is larger than an image may be here")

// Take counts what is about to be unpacked, and fails when that is too much.
type Take func(size, files int64) error

// Limited is a Take of all that is unpacked for one image; 0 is no limit.
func Limited(maxSize, maxFiles int64) Take {
	var mu sync.Mutex
	var size, files int64
	return func(s, f int64) error {
		mu.Lock()
		defer mu.Unlock()
		size, files = size+s, files+f
		return TooLarge(size, files, maxSize, maxFiles)
	}
}

// TooLarge compares what an image takes with what it may; 0 is no limit. Errors:
// ErrTooLarge.
func TooLarge(size, files, maxSize, maxFiles int64) error {
	switch {
	case maxSize > 0 && size > maxSize:
		return fmt.Errorf("%w: unpacked it takes more than %d MiB (image-disk)", ErrTooLarge, maxSize>>20)
	case maxFiles > 0 && files > maxFiles:
		return fmt.Errorf("%w: it has more than %d files (image-files)", ErrTooLarge, maxFiles)
	}
	return nil
}

// meter is an archive's filter that tells Take of each entry before it is
// unpacked: how large it is, and how many files it makes. Directories on its way
// that have no entry of their own are made too.
type meter struct {
	take Take
	last string // the entry before
}

func (m *meter) entry(h *tar.Header) (bool, error) {
	if ok, err := inside(h); !ok || err != nil {
		return ok, err
	}
	name := path.Clean("/" + h.Name)
	files := int64(strings.Count(strings.TrimPrefix(name, shared(name, m.last)), "/"))
	m.last = name
	var size int64
	if h.Typeflag == tar.TypeReg {
		size = h.Size
	}
	return true, m.take(size, max(files, 1))
}

// shared is the directory that two clean paths have in common, without a slash
// at its end.
func shared(a, b string) string {
	end := 0
	for i := 0; ; i++ {
		if i == len(a) || i == len(b) {
			if (i == len(a) || a[i] == '/') && (i == len(b) || b[i] == '/') {
				end = i
			}
			return a[:end]
		}
		if a[i] != b[i] {
			return a[:end]
		}
		if a[i] == '/' {
			end = i
		}
	}
}
