// Package httpserver serves HTTP and TLS at one address: it bounds connections and
// the time of bodies, names, logs and measures each request, and ends by draining.
// What is served is a handler of somebody else's.
package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Options are for ListenHTTP.
type Options struct {
	Address                  string
	MaxConnections           int
	MaxConnectionsPerAddress int
	Certificate              func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	Handler                  http.Handler
	// Observe is told of each request that has ended.
	Observe func(operation string, status int, took time.Duration)
	Log     *slog.Logger
}

// Server serves a handler by HTTP and TLS at one address.
type Server struct {
	http     *http.Server
	listener *bothListener
	requests active
	cutOff   context.CancelFunc // ends the requests that are still running
	log      *slog.Logger
}

// CutOffTimeout is how long requests get to end after they were cut off.
const CutOffTimeout = 5 * time.Second

// Listen takes the address. Connections are answered once Serve is called.
func Listen(o Options) (*Server, error) {
	counts, err := newConnections(o.MaxConnections, o.MaxConnectionsPerAddress, o.Log)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w; set another --listen address if a different program uses this one", o.Address, err)
	}
	s := &Server{log: o.Log}
	// HTTP/1 only: WebSockets of all kinds of clients come by it.
	s.listener = newBothListener(l, &tls.Config{GetCertificate: o.Certificate, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}, counts)
	var requests context.Context
	requests, s.cutOff = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler: &recorder{next: refuseTooMany(o.Handler), observe: o.Observe, log: o.Log, active: &s.requests},
		// No limit on a whole request or answer: streams may take days. Bodies
		// have their times by TimeBody.
		ReadHeaderTimeout: 15 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(&handshakes{log: o.Log, now: time.Now}, "", 0),
		BaseContext:       func(net.Listener) context.Context { return requests },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, tooManyKey{}, tooMany(conn))
		},
	}
	return s, nil
}

// Address is where it listens.
func (s *Server) Address() *net.TCPAddr { return s.listener.Addr().(*net.TCPAddr) }

// Requests is how many requests are running.
func (s *Server) Requests() int {
	s.requests.mu.Lock()
	defer s.requests.mu.Unlock()
	return s.requests.n
}

// Serve answers until Drain or Close, or until the listener breaks.
func (s *Server) Serve() error {
	err := s.http.Serve(s.listener)
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Drain takes no more requests, gives those that are running until ctx ends, and
// then cuts them off.
func (s *Server) Drain(ctx context.Context) {
	// http.Server.Shutdown does not track hijacked connections.
	err := errors.Join(s.http.Shutdown(ctx), s.requests.wait(ctx))
	s.cutOff()
	if err == nil {
		return
	}
	s.log.Warn("cutting off requests that did not finish", "err", err)
	if err := s.http.Close(); err != nil {
		s.log.Warn("close connections", "err", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), CutOffTimeout)
	defer cancel()
	if err := s.requests.wait(ctx); err != nil {
		s.log.Error("requests are still running although they were cut off", "err", err)
	}
}

// Close cuts off what is left and gives the address up.
func (s *Server) Close() error {
	s.cutOff()
	err := s.listener.Close()
	if errors.Is(err, net.ErrClosed) { // Drain has closed it
		return nil
	}
	return err
}
