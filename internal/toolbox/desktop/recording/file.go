package recording

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// name is that of a recording's file, and with it all that is kept of a recording.
type name struct {
	id    string
	start time.Time
	file  string
}

const timeInName = "20060102_150405"

// Compiled when they are first needed: the agent, which has this package in its
// program, never does.
var (
	label    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9 _-][A-Za-z0-9 ._-]{0,99}$`) })
	fileName = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})_.+_([0-9]{8}_[0-9]{6})\.mp4$`)
	})
)

func newName(asked *string) (name, error) {
	text := "session"
	if asked != nil {
		if text = *asked; !label().MatchString(text) {
			return name{}, wire.Bad("a label has 1 to 100 letters (a to z), digits, blanks, dots, '_' and '-', and does not begin with a dot")
		}
	}
	n := name{id: uuid.NewString(), start: time.Now().UTC()}
	n.file = fmt.Sprintf("%s_%s_%s.mp4", n.id, text, n.start.Format(timeInName))
	return n, nil
}

func parseName(file string) (n name, ok bool) {
	m := fileName().FindStringSubmatch(file)
	if m == nil {
		return n, false
	}
	start, err := time.Parse(timeInName, m[2])
	return name{id: m[1], start: start, file: file}, err == nil
}

func (n name) path(dir string) string { return filepath.Join(dir, n.file) }

// unfinished is the beginning of names of files that are being written anew.
const unfinished = ".unfinished-"

// prepare makes the directory, and removes what a killed worker left in it.
func (s *Service) prepare() error {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.active) > 0 {
		return nil
	}
	left, err := filepath.Glob(filepath.Join(escapeGlob(s.dir), unfinished+"*.mp4"))
	for _, path := range left {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// names lists the recordings by their start, those that go on too.
func (s *Service) names() ([]name, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	known := map[string]name{}
	for _, e := range entries {
		if n, ok := parseName(e.Name()); ok && e.Type().IsRegular() {
			known[n.id] = n
		}
	}
	s.mu.Lock()
	for id, e := range s.active { // its file may have been deleted
		known[id] = e.name
	}
	s.mu.Unlock()
	all := make([]name, 0, len(known))
	for _, n := range known {
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b name) int {
		if c := a.start.Compare(b.start); c != 0 {
			return c
		}
		return strings.Compare(a.id, b.id)
	})
	return all, nil
}

// open opens a recording's file, and nothing else that may be there.
func (n name) open(dir string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(n.path(dir), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: n.path(dir), Err: fs.ErrNotExist}
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// The states of a recording.
const (
	statusRecording = "recording"
	statusCompleted = "completed"
	statusFailed    = "failed"
)

// inspect tells of a recording by its file.
func (n name) inspect(dir string) (Recording, error) {
	f, info, err := n.open(dir)
	if err != nil {
		return Recording{}, err
	}
	defer f.Close()
	size, end := info.Size(), info.ModTime().UTC()
	r := n.recording(dir)
	r.Status, r.SizeBytes, r.EndTime = statusCompleted, &size, end.Format(time.RFC3339Nano)
	length, err := movieLength(f)
	switch {
	case err != nil: // no film
		r.Status = statusFailed
		return r, nil
	case length == 0: // in pieces: it was not finished, but plays
		length = max(0, end.Sub(n.start))
	}
	seconds := length.Seconds()
	r.DurationSeconds = &seconds
	return r, nil
}

func (n name) recording(dir string) Recording {
	return Recording{
		ID: n.id, FileName: n.file, FilePath: n.path(dir), StartTime: n.start.Format(time.RFC3339Nano), Status: statusRecording,
	}
}
