// Package logfile keeps the output of a command on disk, standard output and
// error apart but in the order of their arrival, for any number of readers and
// followers. It imports only the standard library and golang.org/x/sys.
package logfile

import (
	"context"
	"encoding/binary"
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

// Log is one command's output.
type Log struct {
	mu      sync.Mutex
	file    *os.File // nil after Remove
	start   int64    // offset of the first record that is kept
	size    int64    // offset behind the last record
	max     int64    // bytes to keep, 0 for all
	marks   []int64  // offsets of records, about one step apart
	lost    int64    // bytes since the last record that could not be written
	lostErr error
	end     int64         // size when the command ended, -1 before
	changed chan struct{} // closed at the next change; nil when nobody waits
}

// Create makes a log at path that keeps the last max bytes (0: everything).
func Create(path string, max int64) (*Log, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create log: %w", err)
	}
	return &Log{file: f, max: max, end: -1}, nil
}

// Append adds output. It never fails: a command must not end because the disk
// is full. What cannot be written is counted and told in the log later.
func (l *Log) Append(s Stream, p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil || len(p) == 0 {
		return
	}
	size, lost := l.size, l.lost
	var err error
	if lost > 0 {
		note := fmt.Appendf(nil, "\n[%d bytes of output were lost: %v]\n", lost, l.lostErr)
		err = l.write(Stderr, note)
	}
	if err == nil {
		l.lost = 0
		err = l.write(s, p)
	}
	if err != nil {
		l.size = size // takes back a note that fit in alone
		l.lost = lost + int64(len(p))
		l.lostErr = err
		return
	}
	l.bound()
	l.notify()
}

func (l *Log) write(s Stream, p []byte) error {
	var head [header]byte
	head[0] = byte(s)
	binary.LittleEndian.PutUint32(head[1:], uint32(len(p)))
	n, err := unix.Pwritev(int(l.file.Fd()), [][]byte{head[:], p}, l.size)
	if err == nil && n < header+len(p) {
		err = unix.ENOSPC
	}
	if err != nil {
		return err // the next record overwrites what was written of this one
	}
	if l.max > 0 && (len(l.marks) == 0 || l.size-l.marks[len(l.marks)-1] >= step) {
		l.marks = append(l.marks, l.size)
	}
	l.size += int64(n)
	return nil
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
	_ = unix.Fallocate(int(l.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, l.start)
}

// End tells followers that the command has ended. Processes it left in the
// background may go on to append.
func (l *Log) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.end < 0 {
		l.end = l.size
	}
	l.notify()
}

// Remove frees the log. Followers end.
func (l *Log) Remove() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return
	}
	os.Remove(l.file.Name())
	l.file.Close()
	l.file = nil
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
	if l.file == nil || (l.end >= 0 && offset >= l.end) {
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
	if l.file == nil || c.offset >= l.size {
		return 0, nil, io.EOF
	}
	var head [header]byte
	if _, err := l.file.ReadAt(head[:], c.offset); err != nil {
		return 0, nil, fmt.Errorf("read log: %w", err)
	}
	n := int(binary.LittleEndian.Uint32(head[1:]))
	if cap(c.buf) < n {
		c.buf = make([]byte, n)
	}
	c.buf = c.buf[:n]
	if _, err := l.file.ReadAt(c.buf, c.offset+header); err != nil {
		return 0, nil, fmt.Errorf("read log: %w", err)
	}
	c.offset += int64(header + n)
	return Stream(head[0]), c.buf, nil
}
