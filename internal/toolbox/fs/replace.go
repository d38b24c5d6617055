package fs

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

type replaced struct {
	File    string `json:"file"`
	Success bool   `json:"success"`
	Error   string `json:"error,omitempty"`
}

// replace puts newValue for every occurrence of a text in the files given, and
// tells for each whether it went well.
func (s *Service) replace(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Files    []string `json:"files"`
		Pattern  string   `json:"pattern"`
		NewValue *string  `json:"newValue"`
	}
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	switch {
	case len(req.Files) == 0:
		return wire.Bad("files is missing or empty")
	case req.Pattern == "":
		return wire.Bad("pattern is missing or empty")
	case req.NewValue == nil:
		return wire.Bad("newValue is missing; to delete the pattern make it empty")
	}
	results := make([]replaced, 0, len(req.Files))
	for _, file := range req.Files {
		one := replaced{File: file, Success: true}
		if err := s.replaceIn(file, []byte(req.Pattern), []byte(*req.NewValue)); err != nil {
			one.Success, one.Error = false, err.Error()
		}
		results = append(results, one)
	}
	wire.JSON(w, http.StatusOK, results)
	return nil
}

func (s *Service) replaceIn(file string, pattern, value []byte) error {
	path, err := s.launcher.Path(file)
	if err != nil {
		return err
	}
	var f *source
	if err := s.launcher.AsUser(func() (err error) { f, err = s.open(path); return err }); err != nil {
		return err
	}
	defer f.Close()
	if found, err := contains(f, pattern); err != nil || !found {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(substitute(w, f, pattern, value)) }()
	err = s.write(path, r)
	r.CloseWithError(os.ErrClosed)
	return err
}

// contains searches r in bounded memory.
func contains(r io.Reader, pattern []byte) (bool, error) {
	buf := make([]byte, 0, len(pattern)+64<<10)
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if bytes.Contains(buf, pattern) {
			return true, nil
		}
		if keep := len(pattern) - 1; len(buf) > keep {
			buf = append(buf[:0], buf[len(buf)-keep:]...)
		}
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// substitute copies r to w with value in place of pattern, in bounded memory.
func substitute(w io.Writer, r io.Reader, pattern, value []byte) error {
	out := bufio.NewWriterSize(w, 32<<10)
	buf := make([]byte, 0, len(pattern)+64<<10)
	for {
		n, rerr := r.Read(buf[len(buf):cap(buf)])
		if rerr != nil && rerr != io.EOF {
			return rerr
		}
		buf = buf[:len(buf)+n]
		rest := buf
		for {
			i := bytes.Index(rest, pattern)
			if i < 0 {
				break
			}
			_, _ = out.Write(rest[:i]) // the writer keeps its first error
			_, _ = out.Write(value)
			rest = rest[i+len(pattern):]
		}
		keep := 0
		if rerr == nil {
			keep = min(len(pattern)-1, len(rest))
		}
		_, err := out.Write(rest[:len(rest)-keep])
		buf = append(buf[:0], rest[len(rest)-keep:]...)
		if err != nil || rerr != nil {
			return errors.Join(err, out.Flush())
		}
	}
}
