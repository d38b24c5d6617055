package fs

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// virtual are file systems of the kernel, without end and without files of the
// user: a search from above does not enter them.
var virtual = map[string]bool{"/proc": true, "/sys": true, "/dev": true}

// maxLine is how much of a matching line is told.
const maxLine = 16 << 10

type match struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Content string `json:"content"`
}

// find streams the lines that contain a text, in a file or everywhere below a
// directory. Files that look binary are left out.
func (s *Service) find(w http.ResponseWriter, r *http.Request) error {
	root, pattern, err := s.searchIn(r)
	if err != nil {
		return err
	}
	out := array{w: bufio.NewWriterSize(w, 16<<10)}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	find := func(path string) { s.findLines(path, root.show(path), pattern, &out) }
	entries, err := s.readDir(root.path)
	if errors.Is(err, syscall.ENOTDIR) {
		find(root.path)
	}
	visit(r, root.path, entries, func(path string, e os.DirEntry) {
		if e.Type().IsRegular() {
			find(path)
		}
	}, &out)
	out.close()
	return nil
}

func (s *Service) findLines(path, shown, pattern string, out *array) {
	f, err := s.open(path)
	if err != nil {
		return
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 32<<10)
	if head, _ := in.Peek(512); bytes.IndexByte(head, 0) >= 0 {
		return
	}
	want := []byte(pattern)
	for n := 1; out.err == nil; n++ {
		line, found, err := readLine(in, want)
		if found {
			out.add(match{File: shown, Line: n, Content: strings.ToValidUTF8(line, string(utf8.RuneError))})
		}
		if err != nil {
			return
		}
	}
}

// readLine reads a line of any length in bounded memory: it returns its
// beginning and whether all of it contains want.
func readLine(in *bufio.Reader, want []byte) (line string, found bool, err error) {
	var head, window []byte
	for {
		chunk, err := in.ReadSlice('\n')
		if len(head) < maxLine {
			head = append(head, chunk[:min(len(chunk), maxLine-len(head))]...)
		}
		if !found {
			window = append(window, chunk...)
			found = bytes.Contains(window, want)
			if keep := len(want) - 1; len(window) > keep {
				window = append(window[:0], window[len(window)-keep:]...)
			}
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return strings.TrimRight(string(head), "\r\n"), found, err
	}
}

// search tells the paths whose name matches a glob pattern; one with a slash is
// held against the path below the directory.
func (s *Service) search(w http.ResponseWriter, r *http.Request) error {
	root, pattern, err := s.searchIn(r)
	if err != nil {
		return err
	}
	if _, err := filepath.Match(pattern, ""); err != nil {
		return wire.Bad("pattern %q is not a valid glob pattern", pattern)
	}
	byPath := strings.Contains(pattern, "/")
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if _, err := io.WriteString(w, `{"files":`); err != nil {
		panic(http.ErrAbortHandler)
	}
	out := array{w: bufio.NewWriterSize(w, 16<<10)}
	entries, _ := s.readDir(root.path) // of a file there are none
	visit(r, root.path, entries, func(path string, e os.DirEntry) {
		name := e.Name()
		if byPath {
			name = strings.TrimPrefix(strings.TrimPrefix(path, root.path), "/")
		}
		if ok, _ := filepath.Match(pattern, name); ok {
			out.add(root.show(path))
		}
	}, &out)
	out.close()
	_, _ = io.WriteString(w, "}\n")
	return nil
}

func (s *Service) searchIn(r *http.Request) (root asked, pattern string, err error) {
	if root, err = s.asked(r, "path"); err != nil {
		return root, "", err
	}
	if pattern = r.URL.Query().Get("pattern"); pattern == "" {
		return root, "", wire.Bad(`query parameter "pattern" is missing`)
	}
	l, err := s.locate(root.path, 0)
	if err != nil {
		return root, "", err
	}
	return root, pattern, l.Close()
}

// visit goes through the entries of a directory and all below them, until out
// fails or the client goes away. It follows no links, and leaves out what cannot
// be read.
func visit(r *http.Request, dir string, entries []os.DirEntry, f func(string, os.DirEntry), out *array) {
	for _, e := range entries {
		if out.err != nil || r.Context().Err() != nil {
			return
		}
		path := filepath.Join(dir, e.Name())
		if e.IsDir() && virtual[path] {
			continue
		}
		f(path, e)
		if e.IsDir() {
			if below, err := readDirAt(path); err == nil {
				visit(r, path, below, f, out)
			}
		}
	}
}
