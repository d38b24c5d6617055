package pty

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/opendaytona/daytona/internal/toolbox/upgrade"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

const (
	maxMessage = 1 << 20 // bytes of one message of input
	// Bytes of one message of output. Pongs go between two messages.
	maxFrame      = 32 << 10
	writePatience = 30 * time.Second
)

// createAndConnect is how the official SDKs make terminals. It fails before the
// upgrade, and by then the terminal exists: clients may leave and come back.
func (s *Service) createAndConnect(w http.ResponseWriter, r *http.Request) error {
	q, size, err := fromQuery(r)
	if err != nil {
		return err
	}
	if !upgrade.Asked(r) { // nobody would see the terminal
		_, _ = upgrade.WebSocket(w, r)
		return nil
	}
	t, err := s.add(q, size)
	if err != nil {
		return err
	}
	if err := t.enter(); err != nil {
		return err
	}
	defer t.leave()
	conn, err := upgrade.WebSocket(w, r)
	if err != nil {
		s.end(t)
		return nil // it is answered
	}
	defer conn.CloseNow()
	t.show(r, conn)
	return nil
}

// connect adds a viewer to a terminal. Clients expect to hear of errors by the
// WebSocket.
func (s *Service) connect(w http.ResponseWriter, r *http.Request) error {
	t, err := s.find(r)
	if err == nil {
		err = s.start(t)
	}
	if err == nil {
		err = t.enter()
	}
	if err == nil {
		defer t.leave()
	}
	conn, failed := upgrade.WebSocket(w, r)
	if failed != nil {
		return nil // it is answered
	}
	defer conn.CloseNow()
	if err != nil {
		refuse(r.Context(), conn, wire.From(err).Message)
		return nil
	}
	t.show(r, conn)
	return nil
}

func refuse(ctx context.Context, conn *websocket.Conn, why string) {
	ctx, cancel := context.WithTimeout(ctx, writePatience)
	defer cancel()
	if conn.Write(ctx, websocket.MessageText, text(control{Type: "control", Status: "error", Error: why})) == nil {
		conn.Close(websocket.StatusInternalError, "the terminal is not there")
	}
}

// maxViewers is how many connections a terminal may have.
const maxViewers = 64

func (t *terminal) enter() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.viewers >= maxViewers {
		return wire.Errorf(http.StatusConflict, wire.Conflict, "terminal %q has the maximum of %d connections: close some", t.ID, maxViewers)
	}
	t.viewers++
	return nil
}

func (t *terminal) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.viewers--
}

// show connects a viewer until it leaves, does not keep up, or the shell has ended.
func (t *terminal) show(r *http.Request, conn *websocket.Conn) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	v, before := t.out.attach()
	defer v.detach()
	write := func(kind websocket.MessageType, p []byte) error {
		ctx, cancel := context.WithTimeout(ctx, writePatience)
		defer cancel()
		return conn.Write(ctx, kind, p)
	}
	// Clients drop what comes before this message, and wait for it a moment only.
	if write(websocket.MessageText, text(control{Type: "control", Status: "connected"})) != nil {
		return
	}
	conn.SetReadLimit(maxMessage)
	go func() {
		defer cancel()
		t.receive(ctx, conn)
	}()
	go upgrade.KeepAlive(ctx, conn)
	for chunk := range slices.Chunk(before, maxFrame) {
		if write(websocket.MessageBinary, chunk) != nil {
			return
		}
	}
	buf := make([]byte, maxFrame)
	for {
		n, err := v.next(ctx, buf)
		switch {
		case err == nil:
			if write(websocket.MessageBinary, buf[:n]) != nil {
				return
			}
		case errors.Is(err, io.EOF):
			e := newExit(t.code)
			if wantsExit(r) && write(websocket.MessageText, text(control{Type: "control", Status: "exited", exit: &e})) != nil {
				return
			}
			code := websocket.StatusNormalClosure
			if e.Code != 0 {
				code = websocket.StatusInternalError
			}
			conn.Close(code, string(text(e)))
			return
		case errors.Is(err, errSlow):
			conn.Close(websocket.StatusPolicyViolation, errSlow.Error())
			return
		default: // the client has left
			return
		}
	}
}

// receive takes what the viewer types, in binary messages and in text. It goes on
// after the shell has ended, since the client's part of closing is to be read.
func (t *terminal) receive(ctx context.Context, conn *websocket.Conn) {
	for {
		_, p, err := conn.Read(ctx)
		if err != nil {
			return
		}
		_ = t.in.add(ctx, p) // fails when nobody is there to read it
	}
}

func wantsExit(r *http.Request) bool {
	return slices.ContainsFunc(upgrade.Offered(r), func(one string) bool { return strings.EqualFold(one, upgrade.ExitControl) })
}
