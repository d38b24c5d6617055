package fs

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// located is a file that was found, and is neither read nor changed yet: what is
// then learned and done is of this one, whatever its path leads to meanwhile.
type located struct {
	*os.File // opened with O_PATH
	path     string
	text     string // what it says, when the agent serves it
	served   bool
}

// locate finds a file with the rights that the caller has. The links of /proc to
// what a process has open are not followed: the kernel lets the agent go through
// its own, past the directories that the user may not enter.
func (s *Service) locate(path string, flags int) (*located, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC | uint64(flags), Resolve: unix.RESOLVE_NO_MAGICLINKS,
	})
	if err == unix.ELOOP && opens(path, flags) {
		err = unix.EACCES // it is no loop, but such a link
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	l := &located{File: os.NewFile(uintptr(fd), path), path: path}
	if s.served != nil {
		l.text, l.served = s.served.Text(fd)
	}
	return l, nil
}

// opens reports whether a path leads somewhere by any links.
func opens(path string, flags int) bool {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// reopen opens the file itself. Named pipes and devices must have been ruled out,
// or flags have O_NONBLOCK.
func (l *located) reopen(flags int) (*os.File, error) {
	f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", l.Fd()), flags, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: l.path, Err: reason(err)}
	}
	return f, nil
}

// open opens a regular file for reading, with the rights that the caller has.
// Opening any other might wait for ever, or change what it is.
func (s *Service) open(path string) (*source, error) {
	l, err := s.locate(path, 0)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if l.served {
		return &source{ReadSeeker: strings.NewReader(l.text), size: int64(len(l.text)), modTime: time.Now()}, nil
	}
	info, err := l.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, wire.Errorf(http.StatusBadRequest, wire.InvalidFilePath, "%s is %s, not a regular file", path, kind(info.Mode()))
	}
	f, err := l.reopen(os.O_RDONLY | syscall.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return &source{ReadSeeker: f, file: f, size: info.Size(), modTime: info.ModTime()}, nil
}

// readDir reads a directory with the rights that the caller has, in the order of
// names.
func (s *Service) readDir(path string) ([]os.DirEntry, error) {
	l, err := s.locate(path, syscall.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	f, err := l.reopen(os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	return entriesOf(f)
}

// readDirAt reads one that was found in its parent. A link or a named pipe that
// took its place meanwhile is neither followed nor waited for.
func readDirAt(path string) ([]os.DirEntry, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	return entriesOf(f)
}

func entriesOf(dir *os.File) ([]os.DirEntry, error) {
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// reason is the error that a PathError holds.
func reason(err error) error {
	var e *os.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

func kind(m os.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&os.ModeNamedPipe != 0:
		return "a named pipe"
	case m&os.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}
