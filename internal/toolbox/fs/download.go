package fs

import (
	"io"
	"mime"
	"net/http"
	"path/filepath"
)

// download sends one file, or the ranges of it that are asked for.
func (s *Service) download(w http.ResponseWriter, r *http.Request) error {
	path, err := s.path(r, "path")
	if err != nil {
		return err
	}
	f, err := s.openWhole(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": filepath.Base(path)}))
	w.Header().Set("Content-Type", "application/octet-stream")
	if f.size != unknown {
		http.ServeContent(w, r, "", f.modTime, f)
		return nil
	}
	if _, err := io.Copy(w, f); err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}
