// Package buildlog keeps what a long operation says (a pull, a build), one
// plain-text file per object, readable from its first line by any number of
// readers while it is still being written. It imports no other package of the project;
// package snapshot writes, httpapi streams.
package buildlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Logs is a directory of log files. Make it with New.
type Logs struct {
	// Edit changes each text before it is written; nil leaves it. Set it before Start.
	Edit func(text string) string
	dir  string
	mu   sync.Mutex
	live map[string]*Writer
}

// New keeps logs in dir, which it creates.
func New(dir string) (*Logs, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create log directory: %w", err)
	}
	return &Logs{dir: dir, live: make(map[string]*Writer)}, nil
}

// Writer appends to one log. It is safe for concurrent use.
type Writer struct {
	logs *Logs
	id   string
	mu   sync.Mutex
	file *os.File
	more chan struct{} // closed and renewed at each write; closed for good at the end
	done bool
}

// Start begins the log of id anew. Followers of an earlier one see its end.
func (l *Logs) Start(id string) (*Writer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.live[id]; old != nil {
		old.finish()
	}
	// A new file rather than a truncated one: a reader of the old log keeps it.
	path := l.path(id)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("start log %s: %w", id, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start log %s: %w", id, err)
	}
	w := &Writer{logs: l, id: id, file: f, more: make(chan struct{})}
	l.live[id] = w
	return w, nil
}

// Line appends one line. What cannot be written is dropped: a full disk must
// not fail the operation that is being told about.
func (w *Writer) Line(text string) {
	_, _ = w.Write([]byte(text + "\n"))
}

// Write appends p and wakes the followers.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return 0, os.ErrClosed
	}
	text := p
	if w.logs.Edit != nil {
		text = []byte(w.logs.Edit(string(p)))
	}
	_, err := w.file.Write(text)
	close(w.more)
	w.more = make(chan struct{})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close ends the log; followers read to its end and stop.
func (w *Writer) Close() {
	w.logs.mu.Lock()
	defer w.logs.mu.Unlock()
	w.finish()
	if w.logs.live[w.id] == w {
		delete(w.logs.live, w.id)
	}
}

func (w *Writer) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return
	}
	w.done = true
	_ = w.file.Close()
	close(w.more)
}

// Live reports whether the log of id is being written.
func (l *Logs) Live(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.live[id] != nil
}

// Copy writes the log of id to dst from its first line. With follow it goes on
// until the log ends or ctx does. A log that does not exist is empty.
func (l *Logs) Copy(ctx context.Context, dst io.Writer, id string, follow bool) error {
	l.mu.Lock()
	w := l.live[id]
	f, err := os.Open(l.path(id))
	l.mu.Unlock()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read log %s: %w", id, err)
	}
	defer f.Close()
	for {
		// The state is taken before reading, so that nothing written between
		// the last read and the wait is missed.
		more, done := (chan struct{})(nil), true
		if w != nil {
			w.mu.Lock()
			more, done = w.more, w.done
			w.mu.Unlock()
		}
		if _, err := io.Copy(dst, f); err != nil {
			return fmt.Errorf("copy log %s: %w", id, err)
		}
		if done || !follow {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Remove deletes the log of id; a missing one is fine.
func (l *Logs) Remove(id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.live[id]; w != nil {
		w.finish()
		delete(l.live, id)
	}
	if err := os.Remove(l.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove log %s: %w", id, err)
	}
	return nil
}

func (l *Logs) path(id string) string {
	return filepath.Join(l.dir, filepath.Base(id)+".log")
}
