package fs

import (
	"bytes"
	"errors"
	"io"
	"os"
	"time"
)

// source is a regular file that is read.
type source struct {
	io.ReadSeeker
	file    *os.File // nil when the agent serves it
	size    int64    // as stat tells it; by openWhole what there is, or unknown
	modTime time.Time
}

// unknown is a size that only the end of reading tells.
const unknown = -1

func (c *source) Close() error {
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}

// openWhole opens a file, with the user's rights, whose content is sent. What stat
// says of its size is held against the file: those of /proc have none, those of
// /sys a page, and others may grow or shrink at any time.
func (s *Service) openWhole(path string) (*source, error) {
	var c *source
	if err := s.launcher.AsUser(func() (err error) { c, err = s.open(path); return err }); err != nil {
		return nil, err
	}
	if err := c.measure(); err != nil {
		c.Close()
		return nil, &os.PathError{Op: "read", Path: path, Err: reason(err)}
	}
	return c, nil
}

// measure finds out how much there is to read.
func (c *source) measure() error {
	const small = 64 << 10
	if c.size > small {
		var last [1]byte
		if n, err := c.file.ReadAt(last[:], c.size-1); n == 0 {
			if err != io.EOF {
				return err
			}
			c.size = unknown
		}
		return nil
	}
	head, err := io.ReadAll(io.LimitReader(c.ReadSeeker, small+1))
	if err != nil {
		return err
	}
	if len(head) <= small {
		c.ReadSeeker, c.size = bytes.NewReader(head), int64(len(head))
		return nil
	}
	c.size = unknown
	c.ReadSeeker = &prefixed{Reader: io.MultiReader(bytes.NewReader(head), c.file)}
	return nil
}

// prefixed is a file whose beginning was read already.
type prefixed struct{ io.Reader }

// Seek fails: a file of unknown size has no ranges.
func (*prefixed) Seek(int64, int) (int64, error) { return 0, errors.ErrUnsupported }
