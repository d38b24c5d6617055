package fs

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

func (s *Service) info(w http.ResponseWriter, r *http.Request) error {
	path, err := s.path(r, "path")
	if err != nil {
		return err
	}
	if text, ok := s.servedAt(path); ok {
		wire.JSON(w, http.StatusOK, s.describeServed(path, text))
		return nil
	}
	info, err := os.Stat(path)
	if os.IsNotExist(err) {
		info, err = os.Lstat(path) // a symbolic link that leads nowhere is still there
	}
	if err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, s.describe(path, info))
	return nil
}

// list streams the entries of a directory, each before its children.
func (s *Service) list(w http.ResponseWriter, r *http.Request) error {
	dir := s.launcher.WorkDir()
	query := r.URL.Query()
	if query.Get("path") != "" {
		var err error
		if dir, err = s.path(r, "path"); err != nil {
			return err
		}
	}
	depth := 1
	if text := query.Get("depth"); text != "" {
		var err error
		if depth, err = strconv.Atoi(text); err != nil || depth < 1 {
			return wire.Bad("depth must be a whole number of at least 1, not %q", text)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	out := array{w: bufio.NewWriterSize(w, 16<<10)}
	s.walk(r.Context(), dir, entries, depth, &out)
	out.close()
	return nil
}

func (s *Service) walk(ctx context.Context, dir string, entries []os.DirEntry, depth int, out *array) {
	virtual := s.hasServed(dir)
	for _, e := range entries {
		if ctx.Err() != nil || out.err != nil {
			return
		}
		path := filepath.Join(dir, e.Name())
		if virtual && e.Type().IsRegular() {
			if text, ok := s.servedAt(path); ok {
				out.add(s.describeServed(path, text))
				continue
			}
		}
		info, err := e.Info()
		if err != nil {
			continue // removed meanwhile
		}
		out.add(s.describe(path, info))
		if depth > 1 && e.IsDir() {
			if below, err := os.ReadDir(path); err == nil {
				s.walk(ctx, path, below, depth-1, out)
			}
		}
	}
}

// array streams a JSON array, so that its length costs no memory.
type array struct {
	w   *bufio.Writer
	n   int
	err error
}

func (a *array) add(v any) {
	b, err := json.Marshal(v)
	if err == nil && a.err == nil {
		sep := byte(',')
		if a.n == 0 {
			sep = '['
		}
		_ = a.w.WriteByte(sep) // the writer keeps its first error
		_, err = a.w.Write(b)
		a.n++
	}
	if a.err == nil {
		a.err = err
	}
}

func (a *array) close() {
	if a.n == 0 {
		_ = a.w.WriteByte('[')
	}
	_, _ = a.w.WriteString("]\n")
	if err := a.w.Flush(); a.err != nil || err != nil {
		panic(http.ErrAbortHandler) // the client must not take half an answer for a whole one
	}
}
