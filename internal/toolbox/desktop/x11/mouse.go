package x11

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/jezek/xgb/xproto"
	"github.com/jezek/xgb/xtest"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

const (
	// holdPause is how long a button or key is down: programs that look at its
	// state now and then shall see it.
	holdPause = 10 * time.Millisecond
	// clickPause is between the clicks of one request, well below the time in
	// which toolkits take two for a double click.
	clickPause = 40 * time.Millisecond
	// dragSteps are the moves of a drag, stepPause is between two of them.
	dragSteps = 20
	stepPause = 10 * time.Millisecond
	// maxScroll is how many steps one request may scroll.
	maxScroll = 1000
)

// place is a point of the screen.
type place struct {
	X int `json:"x"`
	Y int `json:"y"`
}

func (r *Room) position(w http.ResponseWriter, _ *http.Request) error {
	c, err := r.open()
	if err != nil {
		return err
	}
	at, err := c.pointer()
	if err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, at)
	return nil
}

func (c *connection) pointer() (place, error) {
	p, err := xproto.QueryPointer(c.Conn, c.root).Reply()
	if err != nil {
		return place{}, failed("ask where the pointer is", err)
	}
	return place{int(p.RootX), int(p.RootY)}, nil
}

// point moves the pointer. What is beyond the screen becomes its edge.
func (c *connection) point(x, y int) error {
	width, height, err := c.size()
	if err != nil {
		return err
	}
	x, y = min(max(x, 0), width-1), min(max(y, 0), height-1)
	err = xtest.FakeInputChecked(c.Conn, xproto.MotionNotify, 0, 0, c.root, int16(x), int16(y), 0).Check()
	return failed("move the pointer", err)
}

// pointIf moves to a place that a request may leave out.
func (c *connection) pointIf(x, y *int) error {
	switch {
	case x == nil && y == nil:
		return nil
	case x == nil || y == nil:
		return wire.Bad("x and y must be given together")
	}
	return c.point(*x, *y)
}

// fake presses or releases a button or key.
func (c *connection) fake(kind, detail byte) error {
	return failed("send input", xtest.FakeInputChecked(c.Conn, kind, detail, 0, c.root, 0, 0, 0).Check())
}

// clickButton presses and releases a button.
func (c *connection) clickButton(ctx context.Context, button byte) error {
	if err := c.fake(xproto.ButtonPress, button); err != nil {
		return err
	}
	perr := pause(ctx, holdPause)
	return errors.Join(c.fake(xproto.ButtonRelease, button), perr)
}

// pause waits, unless the client goes away.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errGone
	}
}

var buttons = map[string]byte{"": 1, "left": 1, "middle": 2, "right": 3}

func buttonOf(name string) (byte, error) {
	b, ok := buttons[strings.ToLower(name)]
	if !ok {
		return 0, wire.Bad("button is %q: it must be left, middle or right", name)
	}
	return b, nil
}

func (r *Room) move(_ context.Context, c *connection, w http.ResponseWriter, req *http.Request) (any, error) {
	var body struct {
		X *int `json:"x"`
		Y *int `json:"y"`
	}
	if err := wire.Decode(w, req, &body); err != nil {
		return nil, err
	}
	if body.X == nil || body.Y == nil {
		return nil, wire.Bad("x and y are missing: say where to move the pointer")
	}
	if err := c.point(*body.X, *body.Y); err != nil {
		return nil, err
	}
	return c.pointer()
}

func (r *Room) click(ctx context.Context, c *connection, w http.ResponseWriter, req *http.Request) (_ any, err error) {
	var body struct {
		X         *int     `json:"x"`
		Y         *int     `json:"y"`
		Button    string   `json:"button"`
		Double    bool     `json:"double"`
		Clicks    *int     `json:"clicks"`
		Modifiers []string `json:"modifiers"`
	}
	if err := wire.Decode(w, req, &body); err != nil {
		return nil, err
	}
	button, err := buttonOf(body.Button)
	if err != nil {
		return nil, err
	}
	clicks := 1
	switch {
	case body.Clicks != nil:
		if clicks = *body.Clicks; clicks < 1 || clicks > 10 {
			return nil, wire.Bad("clicks is %d: it must be from 1 to 10", clicks)
		}
	case body.Double:
		clicks = 2
	}
	release, err := c.hold(body.Modifiers, "")
	if err != nil {
		return nil, err
	}
	defer release(&err)
	if err := c.pointIf(body.X, body.Y); err != nil {
		return nil, err
	}
	for i := range clicks {
		if i > 0 {
			if err := pause(ctx, clickPause); err != nil {
				return nil, err
			}
		}
		if err := c.clickButton(ctx, button); err != nil {
			return nil, err
		}
	}
	return c.pointer()
}

// button presses or releases one that stays as it is.
func (r *Room) button(down bool) func(context.Context, *connection, http.ResponseWriter, *http.Request) (any, error) {
	kind := byte(xproto.ButtonRelease)
	if down {
		kind = xproto.ButtonPress
	}
	return func(_ context.Context, c *connection, w http.ResponseWriter, req *http.Request) (any, error) {
		var body struct {
			X      *int   `json:"x"`
			Y      *int   `json:"y"`
			Button string `json:"button"`
		}
		if err := wire.Decode(w, req, &body); err != nil {
			return nil, err
		}
		b, err := buttonOf(body.Button)
		if err != nil {
			return nil, err
		}
		if body.X != nil && body.Y != nil {
			if err := c.point(*body.X, *body.Y); err != nil {
				return nil, err
			}
		}
		if err := c.fake(kind, b); err != nil {
			return nil, err
		}
		return c.pointer()
	}
}

func (r *Room) drag(ctx context.Context, c *connection, w http.ResponseWriter, req *http.Request) (_ any, err error) {
	var body struct {
		StartX    *int     `json:"startX"`
		StartY    *int     `json:"startY"`
		EndX      *int     `json:"endX"`
		EndY      *int     `json:"endY"`
		Button    string   `json:"button"`
		Modifiers []string `json:"modifiers"`
	}
	if err := wire.Decode(w, req, &body); err != nil {
		return nil, err
	}
	if body.StartX == nil || body.StartY == nil || body.EndX == nil || body.EndY == nil {
		return nil, wire.Bad("startX, startY, endX and endY must be given")
	}
	button, err := buttonOf(body.Button)
	if err != nil {
		return nil, err
	}
	release, err := c.hold(body.Modifiers, "")
	if err != nil {
		return nil, err
	}
	defer release(&err)
	if err := c.point(*body.StartX, *body.StartY); err != nil {
		return nil, err
	}
	if err := c.fake(xproto.ButtonPress, button); err != nil {
		return nil, err
	}
	pulled := c.pull(ctx, *body.StartX, *body.StartY, *body.EndX, *body.EndY)
	if err := errors.Join(c.fake(xproto.ButtonRelease, button), pulled); err != nil {
		return nil, err
	}
	return c.pointer()
}

// pull moves the pointer in steps, as a hand does: programs begin a drag only
// when they see it move.
func (c *connection) pull(ctx context.Context, x0, y0, x1, y1 int) error {
	width, height, err := c.size()
	if err != nil {
		return err
	}
	x0, x1 = min(max(x0, 0), width-1), min(max(x1, 0), width-1)
	y0, y1 = min(max(y0, 0), height-1), min(max(y1, 0), height-1)
	for i := 1; i <= dragSteps; i++ {
		if err := pause(ctx, stepPause); err != nil {
			return err
		}
		part := float64(i) / dragSteps
		x := x0 + int(math.Round(float64(x1-x0)*part))
		y := y0 + int(math.Round(float64(y1-y0)*part))
		if err := c.point(x, y); err != nil {
			return err
		}
	}
	return pause(ctx, stepPause)
}

// wheel are the buttons that scroll.
var wheel = map[string]byte{"up": 4, "down": 5, "left": 6, "right": 7}

func (r *Room) scroll(ctx context.Context, c *connection, w http.ResponseWriter, req *http.Request) (_ any, err error) {
	var body struct {
		X         *int     `json:"x"`
		Y         *int     `json:"y"`
		Direction string   `json:"direction"`
		Amount    int      `json:"amount"`
		Modifiers []string `json:"modifiers"`
	}
	if err := wire.Decode(w, req, &body); err != nil {
		return nil, err
	}
	button, ok := wheel[strings.ToLower(body.Direction)]
	if !ok {
		return nil, wire.Bad("direction is %q: it must be up, down, left or right", body.Direction)
	}
	if body.Amount < 0 || body.Amount > maxScroll {
		return nil, wire.Bad("amount is %d: it must be from 1 to %d steps", body.Amount, maxScroll)
	}
	release, err := c.hold(body.Modifiers, "")
	if err != nil {
		return nil, err
	}
	defer release(&err)
	if err := c.pointIf(body.X, body.Y); err != nil {
		return nil, err
	}
	for range max(body.Amount, 1) {
		if err := errors.Join(c.fake(xproto.ButtonPress, button), c.fake(xproto.ButtonRelease, button)); err != nil {
			return nil, err
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return nil, err
		}
	}
	return map[string]bool{"success": true}, nil
}
