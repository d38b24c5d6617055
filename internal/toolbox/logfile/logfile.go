// Package logfile keeps the output of a command on disk, standard output and
// error apart but in the order of their arrival, for any number of readers and
// followers. It imports only the standard library and golang.org/x/sys.
package logfile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Stream says where output came from.
type Stream byte

// The streams of a command.
const (
	Both   Stream = 0 // only for Reader
	Stdout Stream = 1
	Stderr Stream = 2
)

// The file is a sequence of records: a byte for the stream, the length as four
// bytes, the data. Offsets only grow; when the log is bounded its beginning
// becomes a hole in the file.
const header = 5

// step is how much the beginning of a bounded log moves at least.
const step = 1 << 20

// kept is how much stays in memory of what the disk has no room for. It is the
// size of a pipe: enough to see what a command says that makes room.
const kept = 64 << 10

// Log is one command's output.
type Log struct {
	path    string
	mu      sync.Mutex
	file    *os.File // nil where the disk had no room for it, when it is closed, and after Remove
	closed  bool     // the command has ended: the file is opened for each use
	removed bool
	start   int64   // offset of the first record that is kept
	size    int64   // offset behind the last record
	tail    []byte  // the last records, which are not in the file
	max     int64   // bytes to keep, 0 for all
	marks   []int64 // offsets of records, about one step apart
	lost    int64   // bytes since the last record that could not be kept
	lostErr error
	end     int64         // size when the command ended, -1 before
	changed chan struct{} // closed at the next change; nil when nobody waits
}

// Create makes a log at path that keeps the last max bytes (0: everything). On a
// full disk it keeps little, in memory.
func Create(path string, max int64) (*Log, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil && !full(err) {
		return nil, fmt.Errorf("create log: %w", err)
	}
	return &Log{path: path, file: f, max: max, end: -1}, nil
}

// with lets f use the file.
func (l *Log) with(f func(*os.File) error) error {
	if l.file != nil {
		return f(l.file)
	}
	if !l.closed {
		return unix.ENOSPC
	}
	file, err := os.OpenFile(l.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return f(file)
}

func full(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// Append adds output. It never fails: a command must not end because the disk
// is full. What cannot be kept is counted and told in the log later.
func (l *Log) Append(s Stream, p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.removed || len(p) == 0 {
		return
	}
	records := append(l.note(), head(s, p), p)
	if err := l.write(records, kept); err != nil {
		l.lost += int64(len(p))
		l.lostErr = err
		return
	}
	l.lost = 0
	l.bound()
	l.notify()
}

// note is the record that tells of what was lost, if anything was.
func (l *Log) note() [][]byte {
	if l.lost == 0 {
		return nil
	}
	text := fmt.Appendf(nil, "\n[%d bytes of output were lost: %v]\n", l.lost, l.lostErr)
	return [][]byte{head(Stderr, text), text}
}

func head(s Stream, p []byte) []byte {
	h := make([]byte, header)
	h[0] = byte(s)
	binary.LittleEndian.PutUint32(h[1:], uint32(len(p)))
	return h
}

// write adds whole records: all of them, or none. With no room on the disk they
// stay in memory as long as that has room, until the disk takes them.
func (l *Log) write(records [][]byte, room int) error {
	n := 0
	for _, r := range records {
		n += len(r)
	}
	at := l.size
	err := l.writeFile(append([][]byte{l.tail}, records...), l.size-int64(len(l.tail)))
	switch {
	case err == nil:
		l.tail = nil
	case len(l.tail)+n > room:
		return err
	default:
		for _, r := range records {
			l.tail = append(l.tail, r...)
		}
	}
	if l.max > 0 && (len(l.marks) == 0 || at-l.marks[len(l.marks)-1] >= step) {
		l.marks = append(l.marks, at)
	}
	l.size += int64(n)
	return nil
}

// writeFile writes all of the parts. What it has written of them when it fails
// is overwritten by the next ones.
func (l *Log) writeFile(parts [][]byte, at int64) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	return l.with(func(file *os.File) error {
		written, err := unix.Pwritev(int(file.Fd()), parts, at)
		if err == nil && written < n {
			err = unix.ENOSPC
		}
		return err
	})
}

// bound drops the beginning of a log that became too long.
func (l *Log) bound() {
	if l.max == 0 || l.size-l.start <= l.max+step {
		return
	}
	for len(l.marks) > 0 && l.size-l.start > l.max {
		l.start = l.marks[0]
		l.marks = l.marks[1:]
	}
	// Without support for holes the space is only free once the log is removed.
	_ = l.with(func(file *os.File) error {
		return unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, l.start)
	})
}

// End tells followers that the command has ended. Processes it left in the
// background may go on to append.
func (l *Log) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.removed {
		return
	}
	// Nothing may come after it, so this is said now, in memory if need be.
	if note := l.note(); note != nil && l.write(note, kept+step) == nil {
		l.lost = 0
	}
	if l.end < 0 {
		l.end = l.size
	}
	if l.file != nil { // of the logs that a session has, most are of commands that have ended
		l.file.Close()
		l.file, l.closed = nil, true
	}
	l.notify()
}

// Remove frees the log. Followers end.
func (l *Log) Remove() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.removed {
		return
	}
	if l.file != nil {
		l.file.Close()
	}
	if l.file != nil || l.closed {
		os.Remove(l.path)
	}
	l.removed, l.file, l.tail = true, nil, nil
	l.notify()
}

func (l *Log) notify() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Follow gives all records to emit, waiting for more until the command ends.
func (l *Log) Follow(ctx context.Context, emit func(Stream, []byte) error) error {
	c := cursor{log: l}
	for {
		s, p, err := c.next()
		if err == nil {
			if err := emit(s, p); err != nil {
				return err
			}
			continue
		}
		if err != io.EOF {
			return err
		}
		wait := l.wait(c.offset)
		if wait == nil {
			return nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wait returns a channel that is closed when there may be more behind offset,
// nil when a follower that came this far has seen the end.
func (l *Log) wait(offset int64) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.removed || (l.end >= 0 && offset >= l.end) {
		return nil
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	if offset < l.size { // it changed meanwhile
		now := make(chan struct{})
		close(now)
		return now
	}
	return l.changed
}

// Each gives the records that the log holds now to emit.
func (l *Log) Each(emit func(Stream, []byte) error) error {
	l.mu.Lock()
	c := cursor{log: l, limit: l.size}
	l.mu.Unlock()
	for c.offset < c.limit {
		s, p, err := c.next()
		if err == io.EOF { // removed meanwhile
			return nil
		}
		if err != nil {
			return err
		}
		if err := emit(s, p); err != nil {
			return err
		}
	}
	return nil
}

// Reader reads what the log holds now of one stream, or of Both in the order
// of arrival.
func (l *Log) Reader(s Stream) io.Reader {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &reader{cursor: cursor{log: l, limit: l.size}, stream: s}
}

type reader struct {
	cursor
	stream Stream
	rest   []byte
}

func (r *reader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.offset >= r.limit {
			return 0, io.EOF
		}
		s, data, err := r.next()
		if err != nil {
			return 0, err
		}
		if r.stream == Both || r.stream == s {
			r.rest = data
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// cursor walks over records.
type cursor struct {
	log    *Log
	offset int64
	limit  int64
	buf    []byte
}

// next returns the record at the cursor; its data is valid until the next call.
// io.EOF means that there is none yet.
func (c *cursor) next() (Stream, []byte, error) {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	c.offset = max(c.offset, l.start)
	if l.removed || c.offset >= l.size {
		return 0, nil, io.EOF
	}
	var head [header]byte
	if err := l.readAt(head[:], c.offset); err != nil {
		return 0, nil, fmt.Errorf("read log: %w", err)
	}
	n := int(binary.LittleEndian.Uint32(head[1:]))
	if cap(c.buf) < n {
		c.buf = make([]byte, n)
	}
	c.buf = c.buf[:n]
	if err := l.readAt(c.buf, c.offset+header); err != nil {
		return 0, nil, fmt.Errorf("read log: %w", err)
	}
	c.offset += int64(header + n)
	return Stream(head[0]), c.buf, nil
}

// readAt fills p from the file or from memory; no record is in both.
func (l *Log) readAt(p []byte, at int64) error {
	if inMemory := at - (l.size - int64(len(l.tail))); inMemory >= 0 {
		copy(p, l.tail[inMemory:])
		return nil
	}
	return l.with(func(file *os.File) error {
		_, err := file.ReadAt(p, at)
		return err
	})
}
