package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// errAgent is an agent that cannot be reached or does not answer as it should.
var errAgent = errors.New("the agent does not connect to a port")

// closedError says why a port of a sandbox takes no connections, as its agent
// tells it.
type closedError struct{ message string }

func (e closedError) Error() string { return e.message }

// What an agent gets of time and may say before a tunnel begins: sandboxes are
// not to be trusted, and their agents run in them.
const (
	tunnelPatience = 15 * time.Second
	maxTunnelHead  = 16 << 10
)

// tunnel connects to a port of a sandbox, through its agent. Errors: those of
// the Dialer; closedError; errAgent.
func tunnel(ctx context.Context, d Dialer, id, port string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, tunnelPatience)
	defer cancel()
	conn, err := d.Dial(ctx, id)
	if err != nil {
		return nil, err
	}
	abort := context.AfterFunc(ctx, func() { conn.Close() })
	early, err := upgrade(conn, port)
	if !abort() {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		if closed, ok := errors.AsType[closedError](err); ok {
			return nil, closed
		}
		return nil, fmt.Errorf("%w: port %s of sandbox %s: %w", errAgent, port, id, err)
	}
	if len(early) > 0 {
		return &earlyConn{Conn: conn, early: bytes.NewReader(early)}, nil
	}
	return conn, nil
}

// upgrade asks the agent for the port; early is what came of it already.
func upgrade(conn net.Conn, port string) (early []byte, err error) {
	if _, err := fmt.Fprintf(conn, "GET /port/%s/connect HTTP/1.1\r\nHost: sandbox\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n", port); err != nil {
		return nil, err
	}
	r := bufio.NewReader(io.LimitReader(conn, maxTunnelHead))
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, fmt.Errorf("read the agent's answer: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusSwitchingProtocols {
		early, _ = r.Peek(r.Buffered()) // cannot fail: it is there
		return early, nil
	}
	var said wire.Envelope
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil || said.Code != wire.PortClosed {
		return nil, fmt.Errorf("the agent answers %s: %s", answer.Status, said.Message)
	}
	return nil, closedError{said.Message}
}

// earlyConn reads first what had come before it was one.
type earlyConn struct {
	net.Conn
	early *bytes.Reader
}

// Read implements net.Conn.
func (c *earlyConn) Read(p []byte) (int, error) {
	if c.early.Len() > 0 {
		return c.early.Read(p)
	}
	return c.Conn.Read(p)
}
