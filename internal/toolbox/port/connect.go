package port

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// dialPatience bounds a connection to a port of the sandbox itself; only a
// listener whose backlog is full takes time.
const dialPatience = 10 * time.Second

// connect turns the connection of the request into one to a port of the
// sandbox: "Upgrade: tcp", then bytes both ways. It ends when either side does;
// a client cannot end its own half alone.
func connect(w http.ResponseWriter, r *http.Request) error {
	n, err := number(r)
	if err != nil {
		return err
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "tcp") {
		return wire.Errorf(http.StatusUpgradeRequired, wire.BadRequest, "send Connection: Upgrade and Upgrade: tcp to connect to a port")
	}
	app, err := dial(r.Context(), n)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return wire.Errorf(http.StatusNotFound, wire.PortClosed, "nothing listens on port %d of the sandbox: start a server on it", n)
	}
	if err != nil {
		return wire.Errorf(http.StatusNotFound, wire.PortClosed, "port %d of the sandbox takes no connections: %s", n, err)
	}
	defer app.Close()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return fmt.Errorf("take over the connection: %w", err)
	}
	defer client.Close()
	if _, err := io.WriteString(client, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"); err != nil {
		return nil //nolint:nilerr // the client has gone, and there is nobody to tell
	}
	ended := make(chan error, 2)
	go func() {
		_, err := io.CopyN(app, buffered, int64(buffered.Reader.Buffered()))
		if err == nil {
			_, err = io.Copy(app, client) // of the connections themselves, which the kernel does alone
		}
		ended <- err
	}()
	go func() {
		_, err := io.Copy(client, app)
		ended <- err
	}()
	first := <-ended
	app.Close()
	client.Close()
	<-ended
	if first != nil && !errors.Is(first, syscall.ECONNRESET) && !errors.Is(first, syscall.EPIPE) {
		slog.Warn("connection to a port", "port", n, "error", first)
	}
	return nil
}

// dial connects to the port at the first address that listens: the loopback of
// IPv4, that of IPv6, and the sandbox's own, where Kubernetes may have put a
// node port. Errors: ECONNREFUSED when none does.
func dial(ctx context.Context, port int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	var d net.Dialer
	for _, address := range []string{"127.0.0.1", "::1"} {
		conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
		if err == nil || ctx.Err() != nil {
			return conn, err
		}
	}
	return d.DialContext(ctx, "tcp", net.JoinHostPort(ownAddress(), strconv.Itoa(port)))
}

// ownAddress is where the sandbox would send from to the world, or its loopback
// when it has no network.
func ownAddress() string {
	// Connecting by UDP only chooses a route. The address is nobody's (RFC 5737).
	conn, err := net.Dial("udp4", "192.0.2.1:9")
	if err != nil {
		return "127.0.0.1"
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).IP.String()
}
