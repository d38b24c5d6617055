package interpreter

import (
	"math"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/capture"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// The streams, by their names in messages.
const (
	stdout = "stdout"
	stderr = "stderr"
)

// chunk is how much output makes one message at most: some clients read no larger
// one whole.
const chunk = 16 << 10

// receiver gets what a process prints, in order. It may be slow: the process waits.
type receiver interface {
	output(stream string, p []byte)
	failed(f failure)
}

// outlets are the standard streams of a process. What comes while there is no
// receiver is dropped. They are read to their end, also when that is long after
// the process has ended: a program in its background must not fail at its next line.
type outlets struct {
	mu      sync.Mutex // held while a message is made, which keeps the order
	to      receiver
	buf     []byte
	streams [2]outlet
}

type outlet struct {
	name string
	raw  syscall.RawConn
	rest []byte // the beginning of a character
}

// openOutlets makes the streams and returns their descriptors for the child.
func openOutlets(uid uint32) (o *outlets, fds [2]int, err error) {
	o = &outlets{buf: make([]byte, chunk)}
	var files [2]*os.File
	for i, name := range []string{stdout, stderr} {
		if files[i], fds[i], err = capture.Pipe(uid); err == nil {
			o.streams[i].name = name
			o.streams[i].raw, err = files[i].SyscallConn()
		}
		if err != nil {
			for j := range i {
				files[j].Close()
				unix.Close(fds[j])
			}
			return nil, fds, err
		}
	}
	for i := range o.streams {
		go func() {
			defer files[i].Close()
			s := &o.streams[i]
			_ = s.raw.Read(func(fd uintptr) bool { return !o.read(s, int(fd), math.MaxInt) })
		}()
	}
	return o, fds, nil
}

// read moves up to most bytes from a stream to the receiver, as far as they are
// there; open says that more may come.
func (o *outlets) read(s *outlet, fd, most int) (open bool) {
	for most > 0 {
		o.mu.Lock()
		n, err := unix.Read(fd, o.buf[:min(most, len(o.buf))])
		if n > 0 {
			o.deliver(s, o.buf[:n])
		}
		o.mu.Unlock()
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return true
		case err != nil, n <= 0:
			return false
		default:
			most -= n
		}
	}
	return true
}

func (o *outlets) deliver(s *outlet, p []byte) {
	if o.to == nil {
		return
	}
	if len(s.rest) > 0 {
		p = append(s.rest, p...)
		s.rest = nil
	}
	whole := len(p) - wire.Unfinished(p)
	if whole < len(p) {
		s.rest = append([]byte(nil), p[whole:]...)
	}
	if whole > 0 {
		o.to.output(s.name, p[:whole])
	}
}

// drain passes on what has been printed until now. It takes no more than that, as
// a thread or a program in the background may go on for ever.
func (o *outlets) drain() {
	for i := range o.streams {
		s := &o.streams[i]
		_ = s.raw.Control(func(fd uintptr) { // an error says that it is closed
			if n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ); err == nil {
				o.read(s, int(fd), n)
			}
		})
	}
}

// fail tells the receiver of an exception.
func (o *outlets) fail(f failure) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.to != nil {
		o.to.failed(f)
	}
}

// begin gives the output to a receiver from now on.
func (o *outlets) begin(to receiver) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.to = to
}

// finish gives the receiver all that was printed, and nothing after it.
func (o *outlets) finish() {
	o.drain()
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.streams {
		s := &o.streams[i]
		if len(s.rest) > 0 && o.to != nil {
			o.to.output(s.name, s.rest)
		}
		s.rest = nil
	}
	o.to = nil
}
