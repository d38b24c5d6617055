package x11

import (
	"context"
	"slices"
	"time"

	"github.com/jezek/xgb/xproto"
)

const (
	// settlePause is how long a program has that cannot be asked whether it has
	// taken in what it was sent.
	settlePause = 200 * time.Millisecond
	// pingPatience is how long one has that can be asked: it may hang.
	pingPatience = 2 * time.Second
)

// settle returns when the program in front has taken in what it was sent. A
// program looks a key's symbol up when it gets to the event, and some take the old
// one for an event that closely follows the change. The window manager's ping
// asks the program itself: it answers in the order of its events.
func (c *connection) settle(ctx context.Context) error {
	id, ok, err := c.pingable()
	if err != nil {
		return err
	}
	if !ok {
		return pause(ctx, settlePause)
	}
	protocols, err := c.atom("WM_PROTOCOLS")
	if err != nil {
		return err
	}
	ping, err := c.atom("_NET_WM_PING")
	if err != nil {
		return err
	}
	// The answer goes to the root window.
	listen := func(mask uint32) error {
		return failed("listen to the root window", xproto.ChangeWindowAttributesChecked(c.Conn, c.root, xproto.CwEventMask, []uint32{mask}).Check())
	}
	if err := listen(xproto.EventMaskSubstructureNotify); err != nil {
		return err
	}
	defer func() { _ = listen(xproto.EventMaskNoEvent) }()
	pong := make(chan struct{})
	c.mu.Lock()
	c.pings++
	c.ping, c.pong = c.pings, pong
	serial := c.pings
	c.mu.Unlock()
	message := xproto.ClientMessageEvent{Format: 32, Window: id, Type: protocols, Data: xproto.ClientMessageDataUnionData32New([]uint32{uint32(ping), serial, uint32(id), 0, 0})}
	if err := xproto.SendEventChecked(c.Conn, false, id, xproto.EventMaskNoEvent, string(message.Bytes())).Check(); err != nil {
		return pause(ctx, settlePause) // the window has just gone
	}
	timer := time.NewTimer(pingPatience)
	defer timer.Stop()
	select {
	case <-pong:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errGone
	}
}

// pingable is the window in front, if its program answers pings.
func (c *connection) pingable() (id xproto.Window, ok bool, err error) {
	active, err := c.cardinals(c.root, "_NET_ACTIVE_WINDOW")
	if err != nil || len(active) == 0 || active[0] == 0 {
		return 0, false, err
	}
	ping, err := c.atom("_NET_WM_PING")
	if err != nil {
		return 0, false, err
	}
	id = xproto.Window(active[0])
	protocols, err := c.cardinals(id, "WM_PROTOCOLS")
	if err != nil {
		return 0, false, nil //nolint:nilerr // the window has just gone
	}
	return id, slices.Contains(protocols, uint32(ping)), nil
}

// heard takes an answer to a ping.
func (c *connection) heard(m xproto.ClientMessageEvent) {
	if m.Format != 32 || len(m.Data.Data32) < 2 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pong != nil && m.Data.Data32[1] == c.ping {
		close(c.pong)
		c.pong = nil
	}
}
