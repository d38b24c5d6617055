package daytona

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// ComputerUse looks at the desktop of a sandbox and acts on it. The sandbox's image
// must have one, and Start starts it. Errors of all: ErrUnreachable, with the status
// 503, where the image has no desktop; ErrInvalid where it was not started.
type ComputerUse struct {
	Mouse         *Mouse
	Keyboard      *Keyboard
	Screenshot    *Screenshot
	Display       *Display
	Accessibility *Accessibility
	Recordings    *Recordings

	sandbox *Sandbox
}

func newComputerUse(s *Sandbox) *ComputerUse {
	return &ComputerUse{
		Mouse: &Mouse{s}, Keyboard: &Keyboard{s}, Screenshot: &Screenshot{s}, Display: &Display{s},
		Accessibility: &Accessibility{s}, Recordings: &Recordings{s}, sandbox: s,
	}
}

// DesktopProcess is a program that makes up the desktop.
type DesktopProcess struct {
	Running     bool `json:"running"`
	Priority    int  `json:"priority"` // the order in which they start
	AutoRestart bool `json:"autoRestart"`
	Pid         int  `json:"pid"` // 0 while it does not run
}

// Start starts the desktop, and returns when it can be used. Once more is fine.
// The processes are xvfb, xfce4, atspi, x11vnc and novnc.
func (c *ComputerUse) Start(ctx context.Context) (map[string]DesktopProcess, error) {
	return c.change(ctx, "start")
}

// Stop ends the desktop, and returns when it has ended.
func (c *ComputerUse) Stop(ctx context.Context) (map[string]DesktopProcess, error) {
	return c.change(ctx, "stop")
}

func (c *ComputerUse) change(ctx context.Context, route string) (map[string]DesktopProcess, error) {
	var out struct {
		Status map[string]DesktopProcess `json:"status"`
	}
	err := c.sandbox.desktop(ctx, http.MethodPost, route, nil, nil, &out)
	return out.Status, err
}

// Status is active, partial, inactive or error.
func (c *ComputerUse) Status(ctx context.Context) (string, error) {
	var out struct {
		Status string `json:"status"`
	}
	err := c.sandbox.desktop(ctx, http.MethodGet, "process-status", nil, nil, &out)
	return out.Status, err
}

// ProcessRunning reports whether a process of the desktop runs. Errors:
// ErrNotFound for a name that no process has.
func (c *ComputerUse) ProcessRunning(ctx context.Context, name string) (bool, error) {
	var out struct {
		Running bool `json:"running"`
	}
	err := c.sandbox.desktop(ctx, http.MethodGet, "process/"+url.PathEscape(name)+"/status", nil, nil, &out)
	return out.Running, err
}

// RestartProcess ends a process of the desktop, and returns when it runs again.
func (c *ComputerUse) RestartProcess(ctx context.Context, name string) error {
	return c.sandbox.desktop(ctx, http.MethodPost, "process/"+url.PathEscape(name)+"/restart", nil, nil, nil)
}

// ProcessLogs is what a process of the desktop has written to its standard output.
func (c *ComputerUse) ProcessLogs(ctx context.Context, name string) (string, error) {
	var out struct {
		Logs string `json:"logs"`
	}
	err := c.sandbox.desktop(ctx, http.MethodGet, "process/"+url.PathEscape(name)+"/logs", nil, nil, &out)
	return out.Logs, err
}

// ProcessErrors is what a process of the desktop has written to its standard error.
func (c *ComputerUse) ProcessErrors(ctx context.Context, name string) (string, error) {
	var out struct {
		Errors string `json:"errors"`
	}
	err := c.sandbox.desktop(ctx, http.MethodGet, "process/"+url.PathEscape(name)+"/errors", nil, nil, &out)
	return out.Errors, err
}

// Point is a place on the screen, in pixels from its upper left corner.
type Point struct {
	X int `json:"x"`
	Y int `json:"y"`
}

// Mouse moves the pointer and presses its buttons, which are left (also ""), middle
// and right. Modifiers, of ctrl, alt, shift and cmd, are held meanwhile. Places
// beyond the screen become its edge. What returns a Point tells where the pointer is.
type Mouse struct{ sandbox *Sandbox }

// Position tells where the pointer is.
func (m *Mouse) Position(ctx context.Context) (p Point, err error) {
	return p, m.sandbox.desktop(ctx, http.MethodGet, "mouse/position", nil, nil, &p)
}

// Move moves the pointer.
func (m *Mouse) Move(ctx context.Context, to Point) (p Point, err error) {
	return p, m.sandbox.desktop(ctx, http.MethodPost, "mouse/move", nil, to, &p)
}

// ClickOptions of a click.
type ClickOptions struct {
	Button    string
	Clicks    int // 0 is 1; at most 10
	Modifiers []string
}

// Click moves the pointer and clicks.
func (m *Mouse) Click(ctx context.Context, at Point, o ClickOptions) (p Point, err error) {
	return p, m.sandbox.desktop(ctx, http.MethodPost, "mouse/click", nil, map[string]any{
		"x": at.X, "y": at.Y, "button": o.Button, "clicks": max(o.Clicks, 1), "modifiers": o.Modifiers,
	}, &p)
}

// Down presses a button, which stays down. at may be nil.
func (m *Mouse) Down(ctx context.Context, at *Point, button string) (Point, error) {
	return m.hold(ctx, "down", at, button)
}

// Up releases a button.
func (m *Mouse) Up(ctx context.Context, at *Point, button string) (Point, error) {
	return m.hold(ctx, "up", at, button)
}

func (m *Mouse) hold(ctx context.Context, route string, at *Point, button string) (p Point, err error) {
	body := map[string]any{"button": button}
	if at != nil {
		body["x"], body["y"] = at.X, at.Y
	}
	return p, m.sandbox.desktop(ctx, http.MethodPost, "mouse/"+route, nil, body, &p)
}

// Drag presses a button at one place and releases it at another.
func (m *Mouse) Drag(ctx context.Context, from, to Point, button string, modifiers ...string) (p Point, err error) {
	return p, m.sandbox.desktop(ctx, http.MethodPost, "mouse/drag", nil, map[string]any{
		"startX": from.X, "startY": from.Y, "endX": to.X, "endY": to.Y, "button": button, "modifiers": modifiers,
	}, &p)
}

// Scroll turns the wheel at a place: up, down, left or right, by that many steps.
func (m *Mouse) Scroll(ctx context.Context, at Point, direction string, amount int, modifiers ...string) error {
	return m.sandbox.desktop(ctx, http.MethodPost, "mouse/scroll", nil, map[string]any{
		"x": at.X, "y": at.Y, "direction": direction, "amount": amount, "modifiers": modifiers,
	}, nil)
}

// Keyboard types text and presses keys. Keys are letters, digits, signs that need
// no shift, and names such as enter, escape, tab, pageup, f5, num0, ctrl and cmd.
type Keyboard struct{ sandbox *Sandbox }

// Type types any text, whatever the keyboard's layout; line ends press enter. delay
// is in milliseconds, between keys.
func (k *Keyboard) Type(ctx context.Context, text string, delay int) error {
	return k.sandbox.desktop(ctx, http.MethodPost, "keyboard/type", nil, map[string]any{"text": text, "delay": delay}, nil)
}

// Press presses a key while modifiers are held.
func (k *Keyboard) Press(ctx context.Context, key string, modifiers ...string) error {
	return k.sandbox.desktop(ctx, http.MethodPost, "keyboard/key", nil, map[string]any{"key": key, "modifiers": modifiers}, nil)
}

// Hotkey presses one chord, such as ctrl+shift+t.
func (k *Keyboard) Hotkey(ctx context.Context, keys string) error {
	return k.sandbox.desktop(ctx, http.MethodPost, "keyboard/hotkey", nil, map[string]any{"keys": keys}, nil)
}

// Down presses a key, which stays down.
func (k *Keyboard) Down(ctx context.Context, key string) error {
	return k.sandbox.desktop(ctx, http.MethodPost, "keyboard/down", nil, map[string]any{"key": key}, nil)
}

// Up releases a key.
func (k *Keyboard) Up(ctx context.Context, key string) error {
	return k.sandbox.desktop(ctx, http.MethodPost, "keyboard/up", nil, map[string]any{"key": key}, nil)
}

// Screenshot takes pictures of the screen.
type Screenshot struct{ sandbox *Sandbox }

// ScreenshotOptions of a picture. The zero value is a PNG of the whole screen.
type ScreenshotOptions struct {
	Region     *Region // nil is the whole screen
	ShowCursor bool
	Format     string  // png (also ""), jpeg or webp
	Quality    int     // of jpeg, from 1 to 100; 0 is 85
	Scale      float64 // from 0.1 to 1; 0 is 1
}

// Region is a part of the screen.
type Region struct{ X, Y, Width, Height int }

// Picture is a screenshot.
type Picture struct {
	Image  []byte // the file
	Cursor *Point // where the pointer is in the scaled screen; nil without ShowCursor
}

// Take takes a picture. Errors: ErrInvalid for a region that is not on the screen.
func (s *Screenshot) Take(ctx context.Context, o ScreenshotOptions) (*Picture, error) {
	query := url.Values{}
	set := func(name, value string, given bool) {
		if given {
			query.Set(name, value)
		}
	}
	route := "screenshot"
	if o.Region != nil {
		route += "/region"
		for name, n := range map[string]int{"x": o.Region.X, "y": o.Region.Y, "width": o.Region.Width, "height": o.Region.Height} {
			set(name, strconv.Itoa(n), true)
		}
	}
	if o.Format != "" || o.Quality != 0 || o.Scale != 0 {
		route += "/compressed"
	}
	set("showCursor", "true", o.ShowCursor)
	set("format", o.Format, o.Format != "")
	set("quality", strconv.Itoa(o.Quality), o.Quality != 0)
	set("scale", strconv.FormatFloat(o.Scale, 'g', -1, 64), o.Scale != 0)
	var out struct {
		Screenshot     string `json:"screenshot"`
		CursorPosition *Point `json:"cursorPosition"`
	}
	if err := s.sandbox.desktop(ctx, http.MethodGet, route, query, nil, &out); err != nil {
		return nil, err
	}
	image, err := base64.StdEncoding.DecodeString(out.Screenshot)
	if err != nil {
		return nil, fmt.Errorf("decode the screenshot: %w", err)
	}
	return &Picture{Image: image, Cursor: out.CursorPosition}, nil
}

// Display tells of screens and windows.
type Display struct{ sandbox *Sandbox }

// DisplayInfo is a screen.
type DisplayInfo struct {
	ID       int  `json:"id"`
	X        int  `json:"x"`
	Y        int  `json:"y"`
	Width    int  `json:"width"`
	Height   int  `json:"height"`
	IsActive bool `json:"isActive"`
}

// Info lists the screens.
func (d *Display) Info(ctx context.Context) ([]DisplayInfo, error) {
	var out struct {
		Displays []DisplayInfo `json:"displays"`
	}
	err := d.sandbox.desktop(ctx, http.MethodGet, "display/info", nil, nil, &out)
	return out.Displays, err
}

// WindowInfo is a window that can be seen. Its place is that of its content,
// without the frame.
type WindowInfo struct {
	ID       int    `json:"id"`
	Title    string `json:"title"`
	X        int    `json:"x"`
	Y        int    `json:"y"`
	Width    int    `json:"width"`
	Height   int    `json:"height"`
	IsActive bool   `json:"isActive"`
}

// Windows lists the windows.
func (d *Display) Windows(ctx context.Context) ([]WindowInfo, error) {
	var out struct {
		Windows []WindowInfo `json:"windows"`
	}
	err := d.sandbox.desktop(ctx, http.MethodGet, "display/windows", nil, nil, &out)
	return out.Windows, err
}

// desktop calls a route of the desktop.
func (s *Sandbox) desktop(ctx context.Context, method, route string, query url.Values, body, out any) error {
	r := request{method: method, url: "/computeruse/" + route, query: query}
	if body != nil {
		r.body = body
	}
	return s.call(ctx, r, out)
}
