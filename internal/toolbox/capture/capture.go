// Package capture reads what processes write into pipes. It imports only the
// standard library and golang.org/x/sys.
package capture

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Grace is how long output is awaited after a command has ended while some
// process in its background still holds the pipe. What the command itself
// wrote is in the pipe before it ends, so nothing of it is lost.
const Grace = 100 * time.Millisecond

// Pump moves everything from a pipe to a sink, also long after the command
// that is of interest has ended: closing the pipe would kill its background
// processes at their next line.
type Pump struct {
	r       *os.File
	drained chan struct{}
	closed  chan struct{}
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// Start reads r, which must support deadlines, until its end and closes it.
func Start(r *os.File, sink func([]byte)) *Pump {
	p := &Pump{r: r, drained: make(chan struct{}), closed: make(chan struct{})}
	go p.run(sink)
	return p
}

func (p *Pump) run(sink func([]byte)) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	defer close(p.closed)
	defer p.r.Close()
	settled := false
	for {
		n, err := p.r.Read(*buf)
		if n > 0 {
			sink((*buf)[:n])
		}
		if err == nil {
			continue
		}
		if !settled {
			settled = true
			close(p.drained)
			if errors.Is(err, os.ErrDeadlineExceeded) && p.r.SetReadDeadline(time.Time{}) == nil {
				continue
			}
		}
		return
	}
}

// Settle waits until the pipe's last writer has closed it, or for Grace.
func (p *Pump) Settle() {
	_ = p.r.SetReadDeadline(time.Now().Add(Grace)) // an error means that it is closed already
	<-p.drained
}

// Closed is closed when no process holds the pipe any more.
func (p *Pump) Closed() <-chan struct{} { return p.closed }

// Pipe makes a pipe whose write end, a plain blocking descriptor for a child,
// belongs to uid: so that the child can open /dev/stdout, which is checked
// against the owner.
func Pipe(uid uint32) (r *os.File, w int, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, -1, fmt.Errorf("make a pipe: %w", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, -1, fmt.Errorf("make a pipe: %w", err)
	}
	if os.Geteuid() == 0 {
		_ = unix.Fchown(fds[1], int(uid), -1) // without it only /dev/stdout by name fails
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), fds[1], nil
}

// Feed makes a pipe whose read end is a plain blocking descriptor for a child.
func Feed() (r int, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return -1, nil, fmt.Errorf("make a pipe: %w", err)
	}
	if err := unix.SetNonblock(fds[1], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return -1, nil, fmt.Errorf("make a pipe: %w", err)
	}
	return fds[0], os.NewFile(uintptr(fds[1]), "pipe"), nil
}
