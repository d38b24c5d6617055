package fs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/launch"
)

// write makes path hold what r gives. A file that exists keeps its owner and
// mode and is replaced at once when r has come to its end, so that neither a
// broken connection nor a full disk leaves half a file. A new file, and the
// directories it needs, belong to the sandbox's user.
func (s *Service) write(path string, r io.Reader) error {
	u, err := s.launcher.User()
	if err != nil {
		return err
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // replace the file, not the link to it
	}
	old, err := os.Stat(path)
	switch {
	case err != nil && !os.IsNotExist(err):
		return err
	case err != nil:
		old = nil
		if err := launch.MkdirAll(filepath.Dir(path), 0o755, u); err != nil {
			return err
		}
	case old.IsDir():
		return &os.PathError{Op: "write", Path: path, Err: syscall.EISDIR}
	case !old.Mode().IsRegular():
		return overwrite(path, r)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".upload-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())             // fails once it is renamed
	inPlace := old != nil && links(old) > 1 // or its other names would keep the old content
	err = copyAll(tmp, r)
	if err == nil && !inPlace {
		err = s.dress(tmp.Name(), old)
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if inPlace {
		return refill(path, tmp.Name())
	}
	err = os.Rename(tmp.Name(), path)
	if err != nil && old != nil { // a mount point cannot be replaced
		return refill(path, tmp.Name())
	}
	return err
}

// refill gives the file at path the content of from. Where both are on a
// filesystem that shares blocks, that takes no space and cannot end halfway.
func refill(path, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	if unix.IoctlFileClone(int(f.Fd()), int(in.Fd())) == nil {
		return errors.Join(f.Truncate(info.Size()), f.Close())
	}
	f.Close()
	return overwrite(path, in)
}

// dress gives file the owner and mode of old, or of a new file.
func (s *Service) dress(file string, old os.FileInfo) error {
	if old == nil {
		u, err := s.launcher.User()
		if err != nil {
			return err
		}
		if err := launch.Own(file, u); err != nil {
			return err
		}
		return os.Chmod(file, 0o644)
	}
	if st, ok := old.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		if err := os.Chown(file, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(file, old.Mode())
}

// overwrite writes into what is there, such as a device.
func overwrite(path string, r io.Reader) error {
	// Without O_NONBLOCK a named pipe that nobody reads would block for ever.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	err = copyAll(f, r)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// copyAll gathers what comes in small pieces: a part of a form is read some
// 4 KiB at a time, and a write for each would take longer than the data.
func copyAll(f *os.File, r io.Reader) error {
	const gathered = 256 << 10
	w := bufio.NewWriterSize(struct{ io.Writer }{f}, gathered)
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	return w.Flush()
}

func links(info os.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink)
	}
	return 1
}
