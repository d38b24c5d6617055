package a11y

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

const (
	registry     = "org.a11y.atspi.Registry"
	registryPath = dbus.ObjectPath("/org/a11y/atspi/registry")
	rootPath     = dbus.ObjectPath("/org/a11y/atspi/accessible/root")

	accessible = "org.a11y.atspi.Accessible"
	properties = "org.freedesktop.DBus.Properties"

	// openPatience covers the start of the bus and of the registry, which D-Bus
	// starts when they are first asked.
	openPatience = 10 * time.Second
	// sendPatience is how long the bus may take nothing from us.
	sendPatience = 5 * time.Second
)

// unavailable is the answer when there is no bus to ask.
func unavailable(err error) error {
	return wire.Errorf(http.StatusServiceUnavailable, wire.A11yUnavailable,
		"the accessibility bus of the desktop does not answer (%v): it needs a running desktop, and the packages at-spi2-core and dbus in the image", err)
}

// bus is a connection to the accessibility bus.
type bus struct {
	*dbus.Conn
	patience patience
	slow     sync.Map // names of programs whose caches cost more than they save
}

// buses has the connection that all requests share.
type buses struct {
	session  string // address of the session bus
	patience patience

	turn    chan struct{} // held by who reads or sets current
	current *bus
}

// get is the connection. It is opened anew when it broke, as it does when the
// desktop was started again.
func (b *buses) get(ctx context.Context) (*bus, error) {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return nil, canceled()
	}
	if b.current != nil && b.current.Connected() {
		return b.current, nil
	}
	opening, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	conn, err := open(opening, b.session)
	if ctx.Err() != nil {
		return nil, canceled()
	}
	if err != nil {
		return nil, unavailable(err)
	}
	b.current = &bus{Conn: conn, patience: b.patience}
	return b.current, nil
}

func (b *buses) close() {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	if b.current != nil {
		b.current.Close()
		b.current = nil
	}
}

func canceled() error {
	return wire.Errorf(http.StatusRequestTimeout, wire.RequestTimeout, "the client went away")
}

// open asks the session bus for the accessibility bus, and connects to that.
func open(ctx context.Context, session string) (*dbus.Conn, error) {
	if session == "" {
		return nil, errors.New("there is no session bus")
	}
	user, err := connect(ctx, session)
	if err != nil {
		return nil, fmt.Errorf("session bus: %w", err)
	}
	defer user.Close()
	launcher := user.Object("org.a11y.Bus", "/org/a11y/bus")
	var address string
	if err := launcher.CallWithContext(ctx, "org.a11y.Bus.GetAddress", 0).Store(&address); err != nil {
		return nil, fmt.Errorf("ask for the accessibility bus: %w", err)
	}
	// Qt and Chromium have a tree only if they are told that somebody reads it.
	err = launcher.CallWithContext(ctx, properties+".Set", 0, "org.a11y.Status", "IsEnabled", dbus.MakeVariant(true)).Err
	if err != nil {
		slog.Warn("programs are not told that their accessibility tree is read", "error", err)
	}
	conn, err := connect(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("accessibility bus: %w", err)
	}
	// GTK keeps a cache of its tree only while somebody listens for events. This
	// is the one that it sends least.
	err = conn.Object(registry, registryPath).CallWithContext(ctx, registry+".RegisterEvent", 0, "document:load-stopped", []string{}, "").Err
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("registry of programs: %w", err)
	}
	return conn, nil
}

// connect opens a connection to the first of the address's sockets that there is.
func connect(ctx context.Context, address string) (*dbus.Conn, error) {
	var failures []error
	for one := range strings.SplitSeq(address, ";") {
		path, err := socketPath(one)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		var dialer net.Dialer
		socket, err := dialer.DialContext(ctx, "unix", path)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		return login(ctx, socket)
	}
	return nil, errors.Join(failures...)
}

// login makes a connection of a socket.
func login(ctx context.Context, socket net.Conn) (*dbus.Conn, error) {
	conn, err := dbus.NewConn(&stream{Conn: socket, in: bufio.NewReaderSize(socket, 64<<10)})
	if err != nil {
		socket.Close()
		return nil, err
	}
	// Its first words wait for a bus that may never answer.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = conn.Auth(nil)
	if err == nil {
		err = conn.Hello()
	}
	if !stop() {
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// socketPath is where a D-Bus address of a unix socket points to.
func socketPath(address string) (string, error) {
	options, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return "", fmt.Errorf("address %q is not of a unix socket", address)
	}
	for option := range strings.SplitSeq(options, ",") {
		name, value, _ := strings.Cut(option, "=")
		if name != "path" && name != "abstract" {
			continue
		}
		value, err := dbus.UnescapeBusAddressValue(value)
		if err != nil {
			return "", fmt.Errorf("address %q: %w", address, err)
		}
		if name == "abstract" {
			value = "@" + value
		}
		return value, nil
	}
	return "", fmt.Errorf("address %q has no path", address)
}

// stream is a socket that does not wait for ever for a bus that takes nothing.
type stream struct {
	net.Conn
	in *bufio.Reader
}

func (s *stream) Read(p []byte) (int, error) { return s.in.Read(p) }

func (s *stream) Write(p []byte) (int, error) {
	_ = s.SetWriteDeadline(time.Now().Add(sendPatience))
	n, err := s.Conn.Write(p)
	if err != nil {
		s.Conn.Close() // half a message was sent, so it is of no use any more
	}
	return n, err
}
