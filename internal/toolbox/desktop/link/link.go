// Package link joins the agent with the desktop's worker: the agent passes one
// end of a new connection over a socket that the worker inherited. Connections
// have no name that another process of the sandbox could open, need no file on a
// full disk, and end with either side. It imports only the standard library and
// golang.org/x/sys.
package link

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Argument makes the agent's program the worker; FD is the descriptor of the
// socket that it inherits.
const (
	Argument = "desktop-worker"
	FD       = 3
)

// Dialer is the agent's end.
type Dialer struct {
	mu   sync.Mutex
	sock int // -1 when it is closed
}

// New makes a socket pair. The caller hands far to the worker and closes it.
func New() (d *Dialer, far int, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, -1, fmt.Errorf("make a socket pair: %w", err)
	}
	return &Dialer{sock: pair[0]}, pair[1], nil
}

// Dial makes a connection to the worker. It does not wait for the worker to
// accept it.
func (d *Dialer) Dial() (net.Conn, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a connection: %w", err)
	}
	defer unix.Close(pair[1])
	near := os.NewFile(uintptr(pair[0]), "connection")
	defer near.Close() // the connection has its own
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sock < 0 {
		return nil, net.ErrClosed
	}
	// Without MSG_DONTWAIT a worker that hangs would hang the agent's request
	// where nothing can cancel it.
	if err := unix.Sendmsg(d.sock, []byte{0}, unix.UnixRights(pair[1]), nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT); err != nil {
		return nil, fmt.Errorf("pass a connection: %w", err)
	}
	conn, err := net.FileConn(near)
	if err != nil {
		return nil, fmt.Errorf("use a connection: %w", err)
	}
	return conn, nil
}

// Close asks the worker to end.
func (d *Dialer) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sock >= 0 {
		unix.Close(d.sock)
		d.sock = -1
	}
}

// listener accepts what a Dialer passes.
type listener struct{ conn *net.UnixConn }

// Listen is the worker's end of the socket with that descriptor, which it takes.
func Listen(fd int) (net.Listener, error) {
	unix.CloseOnExec(fd)
	file := os.NewFile(uintptr(fd), "link")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("there is no socket on descriptor %d: the agent starts this program: %w", fd, err)
	}
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("descriptor %d is no unix socket: the agent starts this program", fd)
	}
	return &listener{socket}, nil
}

// Accept implements net.Listener. It fails with io.EOF when the agent has closed
// its end or is gone.
func (l *listener) Accept() (net.Conn, error) {
	for {
		data, rights := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
		n, oobn, _, _, err := l.conn.ReadMsgUnix(data, rights)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, io.EOF
		}
		conn, err := received(rights[:oobn])
		if err != nil {
			continue // no descriptor was free: the other side sees its end closed
		}
		return conn, nil
	}
}

// received is the connection that came with a message.
func received(rights []byte) (net.Conn, error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	if len(messages) == 0 {
		return nil, errors.New("no descriptor")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(err, errors.New("not one descriptor"))
	}
	unix.CloseOnExec(fds[0])
	file := os.NewFile(uintptr(fds[0]), "connection")
	defer file.Close()
	return net.FileConn(file)
}

// Close implements net.Listener.
func (l *listener) Close() error { return l.conn.Close() }

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return l.conn.LocalAddr() }
