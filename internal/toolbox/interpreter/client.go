package interpreter

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/coder/websocket"
)

// message is what clients get. They look for all members whatever the type is.
type message struct {
	Type      string `json:"type"` // stdout, stderr, error, control
	Text      string `json:"text"`
	Name      string `json:"name"`
	Value     string `json:"value"`
	Traceback string `json:"traceback"`
}

// failure is an exception.
type failure struct{ name, value, traceback string }

// client is who asked for a run. One that has left does not end the run; what is
// sent to it is dropped.
type client struct {
	conn  *websocket.Conn
	ctx   context.Context // ends when it has left
	leave context.CancelFunc
}

func (c *client) send(m message) {
	if c.ctx.Err() != nil {
		return
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(m); err != nil { // strings can always be encoded
		panic(err)
	}
	if c.conn.Write(c.ctx, websocket.MessageText, bytes.TrimSuffix(text.Bytes(), []byte("\n"))) != nil {
		c.leave()
	}
}

// output implements receiver.
func (c *client) output(stream string, p []byte) { c.send(message{Type: stream, Text: string(p)}) }

// failed implements receiver.
func (c *client) failed(f failure) {
	c.send(message{Type: "error", Name: f.name, Value: f.value, Traceback: f.traceback})
}

// hurry gives a client that does not read only so long to take what is left: its
// context is needed by others.
func (c *client) hurry(d time.Duration) {
	timer := time.AfterFunc(d, c.leave)
	context.AfterFunc(c.ctx, func() { timer.Stop() })
}
