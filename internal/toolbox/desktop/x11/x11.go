// Package x11 looks at the display and acts on it, by the X protocol: pictures of
// the screen, the mouse, the keyboard, screens and windows. It runs in the
// desktop's worker.
package x11

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sync"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/randr"
	"github.com/jezek/xgb/xfixes"
	"github.com/jezek/xgb/xproto"
	"github.com/jezek/xgb/xtest"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// Room answers the routes of the package.
type Room struct {
	display string
	// turn holds one token, for the pointer and the keyboard: what one request
	// presses must be released before another presses something.
	turn chan struct{}

	mu   sync.Mutex
	conn *connection // nil before the first use, and when it was lost
}

// New makes the room of a display, to which it connects when it is first used.
func New(display string) *Room {
	r := &Room{display: display, turn: make(chan struct{}, 1)}
	r.turn <- struct{}{}
	return r
}

// Register adds the room's routes.
func (r *Room) Register(mux *http.ServeMux) {
	mux.Handle("GET /ready", wire.Handler(r.ready))
	mux.Handle("GET /computeruse/display/info", wire.Handler(r.info))
	mux.Handle("GET /computeruse/display/windows", wire.Handler(r.windows))
	mux.Handle("GET /computeruse/screenshot", r.screenshot(false, false))
	mux.Handle("GET /computeruse/screenshot/compressed", r.screenshot(false, true))
	mux.Handle("GET /computeruse/screenshot/region", r.screenshot(true, false))
	mux.Handle("GET /computeruse/screenshot/region/compressed", r.screenshot(true, true))
	mux.Handle("GET /computeruse/mouse/position", wire.Handler(r.position))
	mux.Handle("POST /computeruse/mouse/move", r.acting(r.move))
	mux.Handle("POST /computeruse/mouse/click", r.acting(r.click))
	mux.Handle("POST /computeruse/mouse/down", r.acting(r.button(true)))
	mux.Handle("POST /computeruse/mouse/up", r.acting(r.button(false)))
	mux.Handle("POST /computeruse/mouse/drag", r.acting(r.drag))
	mux.Handle("POST /computeruse/mouse/scroll", r.acting(r.scroll))
	mux.Handle("POST /computeruse/keyboard/type", r.acting(r.typeText))
	mux.Handle("POST /computeruse/keyboard/key", r.acting(r.pressKey))
	mux.Handle("POST /computeruse/keyboard/hotkey", r.acting(r.hotkey))
	mux.Handle("POST /computeruse/keyboard/down", r.acting(r.key(true)))
	mux.Handle("POST /computeruse/keyboard/up", r.acting(r.key(false)))
}

// connection is one to the X server.
type connection struct {
	*xgb.Conn
	root xproto.Window

	mu    sync.Mutex
	keys  *keyboard // nil until it is used, and when the layout has changed
	lost  bool
	pings uint32        // how many were sent (settle)
	ping  uint32        // the one whose answer is waited for
	pong  chan struct{} // closed when it comes; nil when none is waited for
}

// open is the connection, made anew if it was lost.
func (r *Room) open() (*connection, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn != nil && !r.conn.isLost() {
		return r.conn, nil
	}
	xgb.Logger = log.New(os.Stderr, "x11: ", log.LstdFlags)
	x, err := xgb.NewConnDisplay(r.display)
	if err != nil {
		return nil, wire.Errorf(http.StatusServiceUnavailable, wire.Internal, "the display %s takes no connection (%v): look at GET /computeruse/process/xvfb/errors", r.display, err)
	}
	c := &connection{Conn: x, root: xproto.Setup(x).DefaultScreen(x).Root}
	go c.listen()
	if err := c.extensions(); err != nil {
		x.Close()
		return nil, err
	}
	r.conn = c
	return c, nil
}

func (c *connection) extensions() error {
	for name, initialize := range map[string]func(*xgb.Conn) error{"XTEST": xtest.Init, "RANDR": randr.Init, "XFIXES": xfixes.Init} {
		if err := initialize(c.Conn); err != nil {
			return fmt.Errorf("the X server has no %s: %w", name, err)
		}
	}
	_, err := xfixes.QueryVersion(c.Conn, 5, 0).Reply()
	if err == nil {
		_, err = randr.QueryVersion(c.Conn, 1, 5).Reply()
	}
	return failed("ask for extensions", err)
}

// listen takes events until the connection ends.
func (c *connection) listen() {
	for {
		event, err := c.WaitForEvent()
		if event == nil && err == nil {
			c.mu.Lock()
			c.lost = true
			c.mu.Unlock()
			return
		}
		switch m := event.(type) {
		case xproto.MappingNotifyEvent:
			c.mu.Lock()
			c.keys = nil
			c.mu.Unlock()
		case xproto.ClientMessageEvent:
			c.heard(m)
		}
	}
}

func (c *connection) isLost() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// Close ends the connection.
func (r *Room) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn != nil {
		r.conn.Close()
		r.conn = nil
	}
}

// failed describes an error of a request to the X server.
func failed(what string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return wire.Errorf(http.StatusServiceUnavailable, wire.Internal, "%s: the display has ended; it is started again, try in some seconds", what)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// acting lets f act on the pointer or the keyboard, one request at a time.
func (r *Room) acting(f func(ctx context.Context, c *connection, w http.ResponseWriter, req *http.Request) (any, error)) http.Handler {
	return wire.Handler(func(w http.ResponseWriter, req *http.Request) error {
		select {
		case <-r.turn:
			defer func() { r.turn <- struct{}{} }()
		case <-req.Context().Done():
			return errGone
		}
		c, err := r.open()
		if err != nil {
			return err
		}
		answer, err := f(req.Context(), c, w, req)
		if err != nil {
			return err
		}
		wire.JSON(w, http.StatusOK, answer)
		return nil
	})
}

var errGone = wire.Errorf(http.StatusRequestTimeout, wire.RequestTimeout, "the client went away")

// empty is the answer where there is nothing to tell.
type empty struct{}

// size is that of the screen.
func (c *connection) size() (width, height int, err error) {
	g, err := xproto.GetGeometry(c.Conn, xproto.Drawable(c.root)).Reply()
	if err != nil {
		return 0, 0, failed("read the screen's size", err)
	}
	return int(g.Width), int(g.Height), nil
}
