// Package events tells clients of changes as they happen: Socket.IO 5 over
// Engine.IO 4, by WebSocket only, which is what the official SDKs speak.
// docs/decisions/003 says why no library does it. A Hub knows organizations and
// payloads, not what they mean; package server feeds it. Look next at
// connection.go, one client's life, and packet.go, the framing.
package events

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/opendaytona/daytona/internal/fault"
)

// Config is what a Hub stands on.
type Config struct {
	// Authenticate returns which events the credential may read, and ends the
	// context, with a fault as its cause, when the credential ends. Errors:
	// *fault.Error.
	Authenticate func(ctx context.Context, token, organizationID string) (Audience, error)
	Log          *slog.Logger
}

// Audience is what a client may read.
type Audience struct {
	Organization string
	Whole        bool // also the parts of payloads that not every key may read
}

// Hub sends events to the clients of their organization.
type Hub struct {
	Config
	timing timing
	limits limits
	done   context.Context // ended by Close
	stop   context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex
	closed bool
	open   int
	rooms  map[string]map[*connection]struct{} // by organization
}

// timing of a connection; Engine.IO's defaults.
type timing struct {
	ping    time.Duration // between two pings
	pong    time.Duration // for the answer to one
	connect time.Duration // for a client to say who it is
	write   time.Duration // for one message
}

// limits keep one client, or one organization, from costing much.
type limits struct {
	queued       int // events that a client may be behind
	queuedBytes  int
	organization int // connections
	payload      int64
}

// New makes a hub; Close ends it.
func New(c Config) *Hub {
	h := &Hub{
		Config: c,
		rooms:  map[string]map[*connection]struct{}{},
		timing: timing{ping: 25 * time.Second, pong: 20 * time.Second, connect: 20 * time.Second, write: 10 * time.Second},
		limits: limits{queued: 1024, queuedBytes: 4 << 20, organization: 1000, payload: 64 << 10},
	}
	h.done, h.stop = context.WithCancel(context.Background())
	return h
}

// Publish tells every client of the organization, or of all organizations when
// it is "": the payload, and those that may not read all of it the reduced one,
// unless that is nil. It does not block: a client that is too far behind is cut
// off, and comes back to read the present state.
func (h *Hub) Publish(organizationID, event string, payload, reduced any) {
	h.mu.Lock()
	nobody := len(h.rooms) == 0
	h.mu.Unlock()
	if nobody {
		return
	}
	whole, err := eventMessage(event, payload)
	part := whole
	if err == nil && reduced != nil {
		part, err = eventMessage(event, reduced)
	}
	if err != nil {
		h.Log.Error("encode event", "event", event, "err", err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if organizationID != "" {
		h.tell(h.rooms[organizationID], whole, part)
		return
	}
	for _, room := range h.rooms {
		h.tell(room, whole, part)
	}
}

func eventMessage(event string, payload any) ([]byte, error) {
	body, err := json.Marshal([]any{event, payload})
	return append([]byte{engineMessage, socketEvent}, body...), err
}

func (h *Hub) tell(room map[*connection]struct{}, whole, part []byte) {
	for c := range room {
		message := part
		if c.whole {
			message = whole
		}
		if !c.enqueue(message) {
			h.Log.Warn("events: a client does not keep up and is cut off", "organization", c.organization)
			c.cancel(errSlow)
		}
	}
}

var errSlow = errors.New("too slow")

// Connections is how many clients there are now.
func (h *Hub) Connections() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open
}

// Close ends all connections and waits until their goroutines have ended, or
// ctx. It may be called again.
func (h *Hub) Close(ctx context.Context) error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.stop()
	ended := make(chan struct{})
	go func() {
		h.work.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ServeHTTP takes a client's WebSocket and serves it to its end.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if code, message := refusal(r); message != "" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]any{"code": code, "message": message})
		return
	}
	if !h.enter() {
		http.Error(w, "The server is ending.", http.StatusServiceUnavailable)
		return
	}
	defer h.leave()
	// Who asks is known by the token in the first packet and not by a cookie,
	// so another site's page can do no more here than its own program could.
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return // it answered
	}
	ws.SetReadLimit(h.limits.payload)
	newConnection(h, ws, r.URL.Query().Get("organizationId")).serve(r.Context())
}

// refusal answers what this server does not speak, as Engine.IO does.
func refusal(r *http.Request) (code int, message string) {
	q := r.URL.Query()
	switch {
	case q.Get("EIO") != "4":
		return 5, "Unsupported protocol version: use Engine.IO 4"
	case q.Get("transport") != "websocket":
		return 0, "Transport unknown: use websocket"
	}
	return 0, ""
}

func (h *Hub) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.work.Add(1)
	h.open++
	return true
}

func (h *Hub) leave() {
	h.mu.Lock()
	h.open--
	h.mu.Unlock()
	h.work.Done()
}

// join lets c hear of its organization's events, after the welcome.
func (h *Hub) join(c *connection, welcome []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	room := h.rooms[c.organization]
	if len(room) >= h.limits.organization {
		return fault.Unavailable("TOO_MANY_CONNECTIONS", "Too many clients of your organization listen to events: close some.")
	}
	c.push(welcome)
	if room == nil {
		room = map[*connection]struct{}{}
		h.rooms[c.organization] = room
	}
	room[c] = struct{}{}
	return nil
}

func (h *Hub) part(c *connection) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.rooms[c.organization], c)
	if len(h.rooms[c.organization]) == 0 {
		delete(h.rooms, c.organization)
	}
}
