package pty

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
	"unicode/utf8"
)

// What is kept of the output of one terminal.
const (
	minKept = 4 << 10
	maxKept = 256 << 10 // bytes that a viewer may be behind
	maxTail = 64 << 10  // bytes that somebody who comes later gets
)

// A viewer that is maxKept behind and takes nothing for so many ticks does not keep
// up. Ticks are counted, since time also passes while the sandbox is frozen.
const (
	tick      = 100 * time.Millisecond
	patience  = 10
	runePause = 100 * time.Millisecond // how long the rest of a character is awaited
)

// errSlow is for a viewer that does not keep up.
var errSlow = errors.New("slow consumer")

// output is what the programs of a terminal have written: the end of it, for any
// number of viewers. It takes more only as fast as the viewers do, which slows a
// program down as any terminal does; and drops viewers that take nothing.
type output struct {
	mu      sync.Mutex
	ring    []byte // its length is a power of two
	end     int64  // bytes written so far; the ring has the last of them
	over    bool
	seen    bool // there was a viewer
	viewers map[*viewer]struct{}
	written signal
	taken   signal
}

// viewer is a place in an output.
type viewer struct {
	out  *output
	at   int64
	slow bool
}

// attach adds a viewer. The first one gets all there is; another one what comes from
// now on, and before, the end of what came until now, as tail makes it.
func (o *output) attach() (v *viewer, before []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v = &viewer{out: o, at: o.end}
	if o.viewers == nil {
		o.viewers = map[*viewer]struct{}{}
	}
	o.viewers[v] = struct{}{}
	first := !o.seen
	o.seen = true
	if first && o.end <= int64(len(o.ring)) {
		v.at = 0
		return v, nil
	}
	n := min(o.end, int64(len(o.ring)), maxTail)
	before = make([]byte, n)
	o.copyFrom(o.end-n, before)
	return v, tail(before, n == o.end)
}

func (v *viewer) detach() {
	v.out.mu.Lock()
	defer v.out.mu.Unlock()
	delete(v.out.viewers, v)
	v.out.taken.fire()
}

// next copies into buf what the viewer has not seen, without half a character at
// the end, since many clients decode each message by itself. Errors: io.EOF after
// the end, errSlow, ctx's.
func (v *viewer) next(ctx context.Context, buf []byte) (int, error) {
	o := v.out
	var half <-chan time.Time
	for late := false; ; {
		o.mu.Lock()
		if v.slow {
			o.mu.Unlock()
			return 0, errSlow
		}
		n := int(min(o.end-v.at, int64(len(buf))))
		o.copyFrom(v.at, buf[:n])
		if whole := wholeRunes(buf[:n]); whole > 0 || !late && !o.over {
			n = whole
		}
		if n > 0 {
			v.at += int64(n)
			o.taken.fire()
			o.mu.Unlock()
			return n, nil
		}
		if o.over {
			o.mu.Unlock()
			return 0, io.EOF
		}
		if half == nil && o.end > v.at {
			half = time.After(runePause)
		}
		changed := o.written.wait()
		o.mu.Unlock()
		select {
		case <-changed:
		case <-half:
			late = true
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// wholeRunes is the length of p without an unfinished character at its end.
func wholeRunes(p []byte) int {
	for i := len(p) - 1; i >= 0 && i >= len(p)-utf8.UTFMax; i-- {
		if utf8.RuneStart(p[i]) {
			if !utf8.FullRune(p[i:]) {
				return i
			}
			break
		}
	}
	return len(p)
}

// Write adds p and never fails. It waits for viewers that take what there is.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	idle := 0
	for left := p; len(left) > 0; {
		if n := o.put(left); n > 0 {
			left = left[n:]
			idle = 0
			o.written.fire()
			continue
		}
		if idle == patience {
			o.dropSlow()
			continue
		}
		changed := o.taken.wait()
		o.mu.Unlock()
		select {
		case <-changed:
			idle = 0
		case <-time.After(tick):
			idle++
		}
		o.mu.Lock()
	}
	return len(p), nil
}

// put adds as much of p as overwrites nothing that a viewer has not taken.
func (o *output) put(p []byte) int {
	behind := int64(0)
	for v := range o.viewers {
		behind = max(behind, o.end-v.at)
	}
	for size := len(o.ring); size < maxKept && int64(size) < o.end+int64(len(p)); size = len(o.ring) {
		o.grow(max(2*size, minKept))
	}
	n := int(min(int64(len(o.ring))-behind, int64(len(p))))
	at := int(o.end) & (len(o.ring) - 1)
	first := copy(o.ring[at:], p[:n])
	copy(o.ring, p[first:n])
	o.end += int64(n)
	return n
}

func (o *output) grow(size int) {
	kept := make([]byte, min(o.end, int64(len(o.ring))))
	from := o.end - int64(len(kept))
	o.copyFrom(from, kept)
	o.ring = make([]byte, size)
	at := int(from) & (size - 1)
	first := copy(o.ring[at:], kept)
	copy(o.ring, kept[first:])
}

// copyFrom fills p with what was written from the given place on.
func (o *output) copyFrom(from int64, p []byte) {
	if len(p) == 0 {
		return
	}
	at := int(from) & (len(o.ring) - 1)
	first := copy(p, o.ring[at:])
	copy(p[first:], o.ring)
}

func (o *output) dropSlow() {
	for v := range o.viewers {
		if o.end-v.at >= int64(len(o.ring)) {
			v.slow = true
			delete(o.viewers, v)
		}
	}
	o.written.fire()
}

// close ends the output: viewers get what is left.
func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	o.written.fire()
}
