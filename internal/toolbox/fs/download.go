package fs

import (
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"syscall"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// download sends one file, or the ranges of it that are asked for.
func (s *Service) download(w http.ResponseWriter, r *http.Request) error {
	path, err := s.path(r, "path")
	if err != nil {
		return err
	}
	f, info, err := open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": filepath.Base(path)}))
	w.Header().Set("Content-Type", "application/octet-stream")
	if info.Size() > 0 {
		http.ServeContent(w, r, "", info.ModTime(), f)
		return nil
	}
	// Files of /proc tell no size.
	if _, err := io.Copy(w, f); err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// open opens a regular file for reading.
func open(path string) (*os.File, os.FileInfo, error) {
	// A named pipe without a writer would block without O_NONBLOCK.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = wire.Bad("%s is %s, not a regular file", path, kind(info.Mode()))
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
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
