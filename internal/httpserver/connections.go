package httpserver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/httperror"
)

// connections counts what the listener has accepted and is still open, WebSockets
// and streams too, so that neither all clients together nor one of them takes
// the descriptors that the server and the others need.
type connections struct {
	most        int // in all
	mostOfOne   int // of one address
	log         *slog.Logger
	mu          sync.Mutex
	all         int
	refused     int // of all: those that are told that they are too many
	of          map[netip.Prefix]int
	lastWarning time.Time
}

const (
	// More connections than the bound are answered with a refusal, these many at
	// once; what is beyond is closed without a word.
	MaxRefused = 64
	// A connection may take another descriptor, to the sandbox it asks for.
	descriptorsOfOne = 2
	warningPause     = time.Minute
)

// newConnections makes it with the configured bounds, or less where the limit
// on open files asks for it: a quarter of them stays for everything else.
func newConnections(most, mostOfOne int, log *slog.Logger) (*connections, error) {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return nil, fmt.Errorf("read the limit on open files: %w", err)
	}
	if room := files.Cur / 4 * 3 / descriptorsOfOne; room < uint64(most) {
		log.Warn("fewer connections than configured are served, because of the limit on open files: raise it (LimitNOFILE of a systemd unit)",
			"configured", most, "served", room, "openFiles", files.Cur)
		most = int(room)
		mostOfOne = min(mostOfOne, (most+1)/2)
	}
	return &connections{most: most, mostOfOne: mostOfOne, log: log, of: make(map[netip.Prefix]int)}, nil
}

// counted is a connection that is counted until it is closed.
type counted struct {
	net.Conn
	tooMany string // why its requests are to be refused; "" when they are not
	end     func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.end()
	return c.Conn.Close()
}

// CloseWrite lets those who tunnel through the connection end one direction.
func (c *counted) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// add counts a connection. It is nil, and closed, when even a refusal would be
// too much.
func (c *connections) add(conn net.Conn) *counted {
	from := clientOf(conn.RemoteAddr())
	c.mu.Lock()
	defer c.mu.Unlock()
	n := &counted{Conn: conn}
	switch {
	case c.of[from] >= c.mostOfOne:
		n.tooMany = fmt.Sprintf("Your address has %d connections to the server, the most there may be: close some, or have the administrator raise max-connections-per-address.", c.mostOfOne)
	case c.all >= c.most:
		n.tooMany = fmt.Sprintf("The server has %d connections, the most there may be: try again later, or have the administrator raise max-connections.", c.most)
	}
	if n.tooMany != "" {
		if time.Since(c.lastWarning) > warningPause {
			c.lastWarning = time.Now()
			c.log.Warn("connections are refused", "from", from, "ofIt", c.of[from], "all", c.all)
		}
		if c.refused >= MaxRefused {
			conn.Close()
			return nil
		}
		c.refused++
		n.end = sync.OnceFunc(func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.refused--
		})
		return n
	}
	c.all++
	c.of[from]++
	n.end = sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all--
		if c.of[from]--; c.of[from] == 0 {
			delete(c.of, from)
		}
	})
	return n
}

// clientOf is who is counted as one: an address, or the network that a host has
// by IPv6.
func clientOf(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // cannot fail with these
	return p
}

// refuseTooMany answers the requests of connections that are too many.
func refuseTooMany(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if why, _ := r.Context().Value(tooManyKey{}).(string); why != "" {
			w.Header().Set("Connection", "close")
			w.Header().Set("Retry-After", "1")
			httperror.Refuse(w, r, fault.Unavailable("TOO_MANY_CONNECTIONS", why))
			return
		}
		next.ServeHTTP(w, r)
	})
}

type tooManyKey struct{}

// tooMany says why the requests of an accepted connection are to be refused.
func tooMany(conn net.Conn) string {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if p, ok := conn.(*peekedConn); ok {
		if c, ok := p.Conn.(*counted); ok {
			return c.tooMany
		}
	}
	return ""
}

// passes reports whether an error of accept(2) is of one connection, or of a
// moment in which something has run out (accept(2), "Error handling").
func passes(err error) bool {
	for _, e := range []unix.Errno{
		unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ECONNABORTED, unix.EINTR, unix.EAGAIN, unix.EPERM,
		unix.EPROTO, unix.ENOPROTOOPT, unix.EOPNOTSUPP, unix.ENETDOWN, unix.ENETUNREACH, unix.EHOSTDOWN, unix.EHOSTUNREACH, unix.ENONET,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
