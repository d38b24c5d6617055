package enginetest

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// agents answers on the connections to sandboxes.
type agents struct {
	mu     sync.Mutex
	server *http.Server
	conns  pipes
	ended  chan struct{}
	closed bool
}

// dial connects to handler, for which a server is started once.
func (a *agents) dial(handler http.Handler) (net.Conn, error) {
	client, server := net.Pipe()
	if handler == nil {
		return client, server.Close()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, errClosed
	}
	if a.server == nil {
		a.conns = pipes{make(chan net.Conn), make(chan struct{})}
		a.ended = make(chan struct{})
		a.server = &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
		go func() {
			defer close(a.ended)
			_ = a.server.Serve(a.conns) // until close
		}()
	}
	select {
	case a.conns.waiting <- server:
		return client, nil
	case <-a.ended:
		return nil, errClosed
	}
}

func (a *agents) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.server == nil {
		return
	}
	close(a.conns.closed)
	_ = a.server.Close()
	<-a.ended
}

// pipes is a listener in memory.
type pipes struct {
	waiting chan net.Conn
	closed  chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.waiting:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
