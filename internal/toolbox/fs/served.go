package fs

import (
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// servedWith is what the file at path says when the agent serves it. The flags are
// those of open(2).
func (s *Service) servedWith(path string, flags int) (text string, ok bool) {
	if s.served == nil {
		return "", false
	}
	// Nothing of a file is asked for when it is opened so.
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return "", false
	}
	defer unix.Close(fd)
	return s.served.Text(fd)
}

// hasServed tells whether files of the directory may be served: those are bound
// over files of the kernel.
func (s *Service) hasServed(dir string) bool {
	var fs unix.Statfs_t
	return s.served != nil && unix.Statfs(dir, &fs) == nil && (fs.Type == unix.PROC_SUPER_MAGIC || fs.Type == unix.SYSFS_MAGIC)
}

// changeable refuses to change a file that the agent serves.
func (s *Service) changeable(path string) error { return s.changeableWith(path, 0) }

// removable is the same for what acts on a link and not on what it leads to.
func (s *Service) removable(path string) error { return s.changeableWith(path, unix.O_NOFOLLOW) }

func (s *Service) changeableWith(path string, flags int) error {
	if _, ok := s.servedWith(path, flags); ok {
		return &os.PathError{Op: "change", Path: path, Err: syscall.EROFS}
	}
	return nil
}

func (s *Service) describeServed(path, text string) entry {
	now := time.Now().UTC()
	return entry{
		Name: filepath.Base(path), Size: int64(len(text)), Mode: os.FileMode(0o444).String(), Permissions: "0444",
		Owner: s.launcher.IDs.UserName(0), Group: s.launcher.IDs.GroupName(0),
		ModTime: now.String(), ModifiedAt: now.Format(time.RFC3339Nano),
	}
}
