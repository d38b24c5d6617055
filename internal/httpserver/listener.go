package httpserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// bothListener takes TLS and plain connections at one address: the first byte
// of a TLS connection is that of a handshake record (RFC 8446, section 5.1).
type bothListener struct {
	net.Listener
	config *tls.Config
	counts *connections
	conns  chan net.Conn
	closed context.Context // ended with the error that no more is accepted for
	end    context.CancelCauseFunc
	served sync.WaitGroup // accept and the looks
}

const (
	recordHandshake = 0x16
	firstBytePause  = 15 * time.Second

	// While nothing can be accepted.
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

func newBothListener(l net.Listener, config *tls.Config, counts *connections) *bothListener {
	b := &bothListener{Listener: l, config: config, counts: counts, conns: make(chan net.Conn)}
	b.closed, b.end = context.WithCancelCause(context.Background())
	b.served.Go(b.accept)
	return b
}

func (b *bothListener) accept() {
	pause := minAcceptPause
	for {
		conn, err := b.Listener.Accept()
		if err == nil {
			pause = minAcceptPause
			if counted := b.counts.add(conn); counted != nil {
				b.served.Go(func() { b.look(counted) })
			}
			continue
		}
		if !passes(err) {
			b.end(err)
			return
		}
		if pause == minAcceptPause || pause == maxAcceptPause {
			b.counts.log.Error("no connection can be accepted; trying again", "err", err)
		}
		select {
		case <-time.After(pause):
		case <-b.closed.Done():
		}
		pause = min(2*pause, maxAcceptPause)
	}
}

// look waits for the first byte without keeping others from being accepted.
func (b *bothListener) look(conn *counted) {
	peeked := &peekedConn{Conn: conn, r: bufio.NewReaderSize(conn, 4096)}
	_ = conn.SetReadDeadline(time.Now().Add(firstBytePause))
	giveUp := context.AfterFunc(b.closed, func() { conn.Close() })
	first, err := peeked.r.Peek(1)
	if !giveUp() || err != nil {
		conn.Close()
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	var out net.Conn = peeked
	if first[0] == recordHandshake {
		out = tls.Server(peeked, b.config)
	}
	select {
	case b.conns <- out:
	case <-b.closed.Done():
		conn.Close()
	}
}

// Accept implements net.Listener.
func (b *bothListener) Accept() (net.Conn, error) {
	select {
	case conn := <-b.conns:
		return conn, nil
	case <-b.closed.Done():
		return nil, context.Cause(b.closed)
	}
}

// Close implements net.Listener. It returns when nothing of the listener runs.
func (b *bothListener) Close() error {
	b.end(net.ErrClosed)
	err := b.Listener.Close()
	b.served.Wait()
	return err
}

// peekedConn reads what was peeked at first.
type peekedConn struct {
	net.Conn
	r *bufio.Reader
}

// Read implements net.Conn.
func (c *peekedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// CloseWrite lets those who tunnel through the connection end one direction.
func (c *peekedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
