package events

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"github.com/opendaytona/daytona/internal/fault"
)

// connection is one client, from its WebSocket to its end.
type connection struct {
	hub          *Hub
	ws           *websocket.Conn
	asked        string // the organization its URL names
	token        string
	organization string // since it joined
	whole        bool   // it may read all of its events, since then
	cancel       context.CancelCauseFunc
	pongs        chan struct{}
	wake         chan struct{} // something is queued

	mu     sync.Mutex
	queue  [][]byte
	queued int // bytes
}

func newConnection(h *Hub, ws *websocket.Conn, asked string) *connection {
	return &connection{hub: h, ws: ws, asked: asked, pongs: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
}

// Why a connection ends.
var (
	errLeft   = errors.New("the client left")
	errSilent = errors.New("the client does not answer")
	errNobody = errors.New("the client did not say who it is")
)

// serve runs the connection until one side ends it.
func (c *connection) serve(ctx context.Context) {
	ctx, c.cancel = context.WithCancelCause(ctx)
	defer c.cancel(nil)
	stop := context.AfterFunc(c.hub.done, func() { c.cancel(context.Canceled) })
	defer stop()

	c.push(open(c.hub.timing, c.hub.limits))
	var both sync.WaitGroup
	both.Go(func() { c.cancel(c.write(ctx)) })
	// As in send.
	both.Go(func() { c.cancel(c.read(context.WithoutCancel(ctx))) })
	<-ctx.Done()
	if ended := fault.Ended(ctx); ended != nil {
		_ = c.send(ctx, encode(socketConnectError, "/", map[string]string{"message": messageOf(ended)}))
	}
	// Closing ends a read that waits; the client's answer is not waited for.
	if errors.Is(context.Cause(ctx), errLeft) {
		_ = c.ws.Close(websocket.StatusNormalClosure, "")
	}
	_ = c.ws.CloseNow()
	both.Wait()
	if c.introduced() {
		c.hub.part(c)
	}
}

// open is the first packet, which tells the client the rules.
func open(t timing, l limits) []byte {
	body, err := json.Marshal(map[string]any{
		"sid": uuid.NewString(), "upgrades": []string{}, "maxPayload": l.payload,
		"pingInterval": t.ping.Milliseconds(), "pingTimeout": t.pong.Milliseconds(),
	})
	if err != nil {
		panic(err) // only numbers and strings
	}
	return append([]byte{engineOpen}, body...)
}

// enqueue adds a message to be written, unless the client is too far behind.
func (c *connection) enqueue(message []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) >= c.hub.limits.queued || c.queued+len(message) > c.hub.limits.queuedBytes {
		return false
	}
	c.queue = append(c.queue, message)
	c.queued += len(message)
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return true
}

// push queues one of the protocol's own messages.
func (c *connection) push(message []byte) {
	if !c.enqueue(message) {
		c.cancel(errSlow)
	}
}

func (c *connection) take() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.queue
	c.queue, c.queued = nil, 0
	return q
}

// write sends what is queued, and pings.
func (c *connection) write(ctx context.Context) error {
	t := c.hub.timing
	ping := time.NewTimer(t.ping)
	defer ping.Stop()
	introduction := time.NewTimer(t.connect)
	defer introduction.Stop()
	waiting := false // for a pong
	for {
		select {
		case <-c.wake:
			for _, message := range c.take() {
				if err := c.send(ctx, message); err != nil {
					return err
				}
			}
		case <-ping.C:
			if waiting {
				return errSilent
			}
			if err := c.send(ctx, []byte{enginePing}); err != nil {
				return err
			}
			waiting = true
			ping.Reset(t.pong)
		case <-c.pongs:
			waiting = false
			ping.Reset(t.ping)
		case <-introduction.C:
			if !c.introduced() {
				return errNobody
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// send writes a message. A write whose context ends takes the WebSocket with it,
// before the client is told why; closing ends one too.
func (c *connection) send(ctx context.Context, message []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.hub.timing.write)
	defer cancel()
	return c.ws.Write(ctx, websocket.MessageText, message)
}

func (c *connection) introduced() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token != ""
}

// read follows what the client says.
func (c *connection) read(ctx context.Context) error {
	for {
		kind, b, err := c.ws.Read(ctx)
		if err != nil {
			return errLeft
		}
		if kind != websocket.MessageText || len(b) == 0 {
			continue // an attachment of an event, which we don't hear
		}
		switch b[0] {
		case enginePong:
			select {
			case c.pongs <- struct{}{}:
			default:
			}
		case engineClose:
			return errLeft
		case engineMessage:
			if err := c.hear(ctx, string(b[1:])); err != nil {
				return err
			}
		}
	}
}

// hear follows one Socket.IO packet. Events of clients mean nothing here.
func (c *connection) hear(ctx context.Context, text string) error {
	p, ok := parsePacket(text)
	switch {
	case !ok:
		return nil
	case p.kind == socketDisconnect:
		return errLeft
	case p.kind != socketConnect:
		return nil
	case p.namespace != "/":
		c.push(encode(socketConnectError, p.namespace, map[string]string{"message": "Invalid namespace"}))
		return nil
	case c.introduced():
		return nil
	}
	if err := c.connect(ctx, p.data); err != nil {
		if !errors.As(err, new(*fault.Error)) {
			c.hub.Log.Error("authenticate a listener", "err", err)
		}
		c.push(encode(socketConnectError, "/", map[string]string{"message": messageOf(err)}))
	}
	return nil
}

func (c *connection) connect(ctx context.Context, auth string) error {
	var who struct {
		Token          string `json:"token"`
		OrganizationID string `json:"organizationId"`
	}
	if auth != "" && json.Unmarshal([]byte(auth), &who) != nil {
		return fault.Invalid("", "The credential of the connection is not valid: send {\"token\": KEY}.")
	}
	if c.asked == "" {
		c.asked = who.OrganizationID
	}
	audience, err := c.hub.Authenticate(ctx, who.Token, c.asked)
	if err != nil {
		return err
	}
	c.organization, c.whole = audience.Organization, audience.Whole
	if err := c.hub.join(c, encode(socketConnect, "/", map[string]string{"sid": uuid.NewString()})); err != nil {
		return err
	}
	c.mu.Lock()
	c.token = who.Token
	c.mu.Unlock()
	return nil
}

// messageOf is what a client is told of an error.
func messageOf(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Message
	}
	return "The server failed: see its log."
}
