package fs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// write makes path hold what r gives, with the user's rights. A file that exists
// keeps its owner and mode and is replaced at once when r has come to its end, so
// that neither a broken connection nor a full disk leaves half a file. A symbolic
// link stays, and what it leads to is written.
func (s *Service) write(path string, r io.Reader) error {
	var in *incoming
	err := s.launcher.AsUser(func() (err error) { in, err = s.receive(path); return err })
	if err != nil {
		return err
	}
	var to io.Writer = in.file
	if in.direct {
		to = patient{in.file, s.patience}
	}
	err = copyAll(to, r)
	if e := s.launcher.AsUser(func() error { return in.end(err == nil) }); err == nil {
		err = e
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return wire.Errorf(http.StatusRequestTimeout, wire.RequestTimeout, "nobody has read from %s for %v", path, s.patience)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// patient writes to a pipe or a device, which may take nothing for ever.
type patient struct {
	*os.File
	patience time.Duration
}

func (p patient) Write(b []byte) (int, error) {
	// Files that always take at once have no deadlines.
	if err := p.SetWriteDeadline(time.Now().Add(p.patience)); err != nil && !errors.Is(err, os.ErrNoDeadline) {
		return 0, err
	}
	return p.File.Write(b)
}

// incoming is a file that is being received.
type incoming struct {
	path    string      // of the file, without links
	file    *os.File    // a new one beside it, or the file itself
	old     os.FileInfo // what is there, nil for nothing
	inPlace bool        // the file is filled anew when all is there, not replaced
	direct  bool        // file is no copy: what is there is no regular file
}

// receive prepares for the content of a file.
func (s *Service) receive(path string) (*incoming, error) {
	var old os.FileInfo
	l, err := s.locate(path, 0)
	if err == nil {
		defer l.Close()
		if l.served {
			return nil, &os.PathError{Op: "change", Path: path, Err: syscall.EROFS}
		}
		old, err = l.Stat()
	}
	switch {
	case os.IsNotExist(err):
	case err != nil:
		return nil, err
	case old.IsDir():
		return nil, &os.PathError{Op: "write", Path: path, Err: syscall.EISDIR}
	case old.Mode()&os.ModeSocket != 0:
		return nil, &os.PathError{Op: "write", Path: path, Err: syscall.ENXIO}
	case !old.Mode().IsRegular(): // such as a device
		// Without O_NONBLOCK a named pipe that nobody reads would block for ever.
		f, err := l.reopen(os.O_WRONLY | syscall.O_NONBLOCK)
		return &incoming{path: path, file: f, direct: true}, err
	}
	if path, err = target(path); err != nil {
		return nil, err
	}
	in := &incoming{path: path, old: old}
	dir := filepath.Dir(path)
	if old == nil {
		err = os.MkdirAll(dir, 0o755)
	} else if err = unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS); err != nil {
		// Who may replace a file in its directory need not be one who may write it.
		err = &os.PathError{Op: "write", Path: path, Err: err}
	}
	if err != nil {
		return nil, err
	}
	in.inPlace = old != nil && mustStay(path, old)
	in.file, err = os.CreateTemp(dir, ".upload-*")
	if old != nil && (errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS)) {
		in.inPlace = true
		in.file, err = os.CreateTemp("", ".upload-*")
	}
	return in, err
}

// end makes what was received the file's content if it is whole, and leaves
// nothing else.
func (in *incoming) end(whole bool) error {
	if in.direct {
		return in.file.Close()
	}
	defer os.Remove(in.file.Name()) // fails once it is renamed
	var err error
	if whole && !in.inPlace {
		err = in.dress()
	}
	if cerr := in.file.Close(); err == nil {
		err = cerr
	}
	switch {
	case err != nil || !whole:
		return err
	case in.inPlace:
		return refill(in.path, in.file.Name())
	}
	err = os.Rename(in.file.Name(), in.path)
	switch {
	case err == nil:
		return nil
	case in.old != nil: // a mount point cannot be replaced
		return refill(in.path, in.file.Name())
	case errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.EOPNOTSUPP): // as some filesystems of object stores have it
		if f, err := os.OpenFile(in.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644); err != nil {
			return err
		} else if err := f.Close(); err != nil {
			return err
		}
		return refill(in.path, in.file.Name())
	}
	return err
}

// dress gives the new file the mode of a new one, or owner and mode of the old
// one. What cannot have the old owner is copied into the old file.
func (in *incoming) dress() error {
	if in.old == nil {
		return in.file.Chmod(0o644)
	}
	st, ok := in.old.Sys().(*syscall.Stat_t)
	now, err := in.file.Stat()
	if err != nil {
		return err
	}
	if is := now.Sys().(*syscall.Stat_t); ok && (is.Uid != st.Uid || is.Gid != st.Gid) {
		err := in.file.Chown(int(st.Uid), int(st.Gid))
		if errors.Is(err, os.ErrPermission) {
			in.inPlace = true
			return nil
		}
		if err != nil {
			return err
		}
	}
	return in.file.Chmod(in.old.Mode())
}

// target is where a path that may end in symbolic links leads, also when nothing
// is there yet.
func target(path string) (string, error) {
	const most = 40 // as the kernel's own limit (path_resolution(7))
	for range most {
		i := strings.LastIndexByte(path, '/')
		dir, err := filepath.EvalSymlinks(path[:i+1]) // of all of it: ".." is behind a link, not before it
		if os.IsNotExist(err) {
			return path, nil
		}
		if err != nil {
			return "", err
		}
		path = filepath.Join(dir, path[i+1:])
		link, err := os.Readlink(path)
		if err != nil {
			return path, nil // no link, or nothing
		}
		if path = link; !filepath.IsAbs(link) {
			path = dir + "/" + link
		}
	}
	return "", &os.PathError{Op: "write", Path: path, Err: syscall.ELOOP}
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
	if now, err := f.Stat(); err != nil || !now.Mode().IsRegular() { // something else took its place
		return errors.Join(err, f.Close(), &os.PathError{Op: "write", Path: path, Err: syscall.EBUSY})
	}
	if unix.IoctlFileClone(int(f.Fd()), int(in.Fd())) == nil {
		return errors.Join(f.Truncate(info.Size()), f.Close())
	}
	if err = f.Truncate(0); err == nil {
		err = copyAll(f, in)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// copyAll gathers what comes in small pieces: a part of a form is read some
// 4 KiB at a time, and a write for each would take longer than the data.
func copyAll(f io.Writer, r io.Reader) error {
	const gathered = 256 << 10
	w := bufio.NewWriterSize(struct{ io.Writer }{f}, gathered)
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	return w.Flush()
}

// mustStay reports whether a new file cannot take the place of one: other names
// would keep the old content, and access lists and attributes would be lost.
func mustStay(path string, info os.FileInfo) bool {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
		return true
	}
	names := make([]byte, 64<<10) // the most that there are
	n, err := unix.Listxattr(path, names)
	if err != nil {
		return !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOSYS)
	}
	for name := range strings.SplitSeq(string(names[:n]), "\x00") {
		if strings.HasPrefix(name, "user.") || name == "system.posix_acl_access" {
			return true
		}
	}
	return false
}
