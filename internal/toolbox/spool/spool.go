// Package spool keeps output of any size in bounded memory: the beginning in
// memory, longer output in an unlinked temporary file. It imports only the
// standard library.
package spool

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
)

// InMemory is how much a Buffer keeps in memory.
const InMemory = 256 << 10

// Buffer collects output. The zero value is ready. Writes after Seal are
// dropped, so that a writer that outlives its reader does no harm.
type Buffer struct {
	mu     sync.Mutex
	memory bytes.Buffer
	file   *os.File
	size   int64 // of what is in file
	lost   int64
	err    error // why bytes were lost
	sealed bool
}

// Append adds p. When the disk is full the rest is counted, not kept.
func (b *Buffer) Append(p []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sealed {
		return
	}
	if b.file == nil && b.err == nil && b.memory.Len()+len(p) > InMemory {
		b.file, b.err = create()
	}
	if b.file == nil && b.err == nil {
		b.memory.Write(p)
		return
	}
	if b.err == nil {
		var n int
		n, b.err = b.file.Write(p)
		b.size += int64(n)
		p = p[n:]
	}
	b.lost += int64(len(p))
}

// create makes a file without a name, which no crash can leave behind.
func create() (*os.File, error) {
	f, err := os.CreateTemp("", ".output-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Seal ends writing and returns all that was kept, followed by a line that
// tells of lost bytes if there are any. The reader is valid until Close.
func (b *Buffer) Seal() io.Reader {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sealed = true
	parts := []io.Reader{bytes.NewReader(b.memory.Bytes())}
	if b.file != nil {
		parts = append(parts, io.NewSectionReader(b.file, 0, b.size))
	}
	if b.lost > 0 {
		parts = append(parts, bytes.NewReader(fmt.Appendf(nil, "\n[%d more bytes of output could not be kept: %v]\n", b.lost, b.err)))
	}
	return io.MultiReader(parts...)
}

// Complete tells why not all that was written is kept; nil when it is.
func (b *Buffer) Complete() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// Close frees what the buffer holds.
func (b *Buffer) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sealed = true
	b.memory = bytes.Buffer{}
	if b.file != nil {
		b.file.Close()
		b.file = nil
	}
}
