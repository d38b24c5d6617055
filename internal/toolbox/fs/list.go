package fs

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

func (s *Service) info(w http.ResponseWriter, r *http.Request) error {
	asked, err := s.asked(r, "path")
	if err != nil {
		return err
	}
	e, err := s.look(asked.path)
	if err != nil {
		return err
	}
	e.Path = pathFor(r, asked.text)
	wire.JSON(w, http.StatusOK, e)
	return nil
}

// look describes what is at a path or, for a link, where it leads. One that leads
// nowhere is still there itself.
func (s *Service) look(path string) (entry, error) {
	l, err := s.locate(path, 0)
	if os.IsNotExist(err) {
		l, err = s.locate(path, unix.O_NOFOLLOW)
	}
	if err != nil {
		return entry{}, err
	}
	defer l.Close()
	if l.served {
		return s.describeServed(path, l.text), nil
	}
	info, err := l.Stat()
	if err != nil {
		return entry{}, err
	}
	return s.describe(info), nil
}

// pathFor is what a client is told of an entry's path. Go SDKs before 0.188 take
// no field that they do not know.
func pathFor(r *http.Request, path string) string {
	if r.Header.Get("X-Daytona-Source") == "sdk-go" && wire.SDKBefore(r, 188) {
		return ""
	}
	return path
}

// list streams the entries of a directory, each before its children. Those of the
// directory itself are described by where their links lead; deeper lists are of
// what is there, links included, and go through none.
func (s *Service) list(w http.ResponseWriter, r *http.Request) error {
	root := asked{s.launcher.WorkDir(), s.launcher.WorkDir()}
	query := r.URL.Query()
	if query.Get("path") != "" {
		var err error
		if root, err = s.asked(r, "path"); err != nil {
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
	entries, err := s.readDir(root.path)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	l := listing{Service: s, request: r, root: root, follow: depth == 1, out: array{w: bufio.NewWriterSize(w, 16<<10)}}
	l.walk(root.path, entries, depth)
	l.out.close()
	return nil
}

// listing is a list on its way to a client.
type listing struct {
	*Service
	request *http.Request
	root    asked
	follow  bool // links
	out     array
}

func (l *listing) walk(dir string, entries []os.DirEntry, depth int) {
	virtual := l.hasServed(dir)
	for _, e := range entries {
		if l.request.Context().Err() != nil || l.out.err != nil {
			return
		}
		path := filepath.Join(dir, e.Name())
		if told, err := l.tell(path, e, virtual); err == nil { // or it was removed meanwhile
			told.Path = pathFor(l.request, l.root.show(path))
			l.out.add(told)
		}
		if depth > 1 && e.IsDir() {
			if below, err := readDirAt(path); err == nil {
				l.walk(path, below, depth-1)
			}
		}
	}
}

func (l *listing) tell(path string, e os.DirEntry, virtual bool) (entry, error) {
	if virtual && e.Type().IsRegular() || l.follow && e.Type()&os.ModeSymlink != 0 {
		if told, err := l.look(path); err == nil {
			told.Name = e.Name()
			return told, nil
		} // a link to where the user may not look is there all the same
	}
	info, err := os.Lstat(path)
	if err != nil {
		return entry{}, err
	}
	return l.describe(info), nil
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
