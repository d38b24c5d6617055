package pty

import (
	"context"
	"io"
	"net"
	"sync"
)

// maxInput is how much input waits for a program that does not read it, in bytes.
// A message may exceed it.
const maxInput = 1 << 20

// input is what viewers have typed, in the order in which it came. Only when a
// program leaves maxInput of it unread, a viewer has to wait.
type input struct {
	mu      sync.Mutex
	pending []byte
	over    bool
	changed signal
}

// add takes p. Errors: ctx's, and net.ErrClosed when the shell has ended.
func (in *input) add(ctx context.Context, p []byte) error {
	for {
		in.mu.Lock()
		if in.over {
			in.mu.Unlock()
			return net.ErrClosed
		}
		if len(in.pending) < maxInput {
			in.pending = append(in.pending, p...)
			in.changed.fire()
			in.mu.Unlock()
			return nil
		}
		changed := in.changed.wait()
		in.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// copyTo writes what comes to w until close or an error.
func (in *input) copyTo(w io.Writer) {
	for {
		in.mu.Lock()
		p := in.pending
		in.pending = nil
		over := in.over
		changed := in.changed.wait()
		if len(p) > 0 {
			in.changed.fire() // there is room
		}
		in.mu.Unlock()
		if over {
			return
		}
		if len(p) == 0 {
			<-changed
			continue
		}
		if _, err := w.Write(p); err != nil {
			return
		}
	}
}

func (in *input) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.over = true
	in.changed.fire()
}
