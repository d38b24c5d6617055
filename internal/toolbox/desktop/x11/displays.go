package x11

import (
	"net/http"
	"time"

	"github.com/jezek/xgb/randr"
	"github.com/jezek/xgb/xproto"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// display is a screen as clients see it.
type display struct {
	ID       int  `json:"id"`
	X        int  `json:"x"`
	Y        int  `json:"y"`
	Width    int  `json:"width"`
	Height   int  `json:"height"`
	IsActive bool `json:"isActive"`
}

func (r *Room) info(w http.ResponseWriter, _ *http.Request) error {
	c, err := r.open()
	if err != nil {
		return err
	}
	all, err := c.displays()
	if err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, map[string][]display{"displays": all})
	return nil
}

// displays are the monitors. A client is told of the whole screen if none is known.
func (c *connection) displays() ([]display, error) {
	got, err := randr.GetMonitors(c.Conn, c.root, true).Reply()
	if err != nil {
		return nil, failed("ask for the displays", err)
	}
	all := []display{}
	for i, m := range got.Monitors {
		all = append(all, display{ID: i, X: int(m.X), Y: int(m.Y), Width: int(m.Width), Height: int(m.Height), IsActive: m.Primary || len(got.Monitors) == 1})
	}
	if len(all) == 0 {
		width, height, err := c.size()
		if err != nil {
			return nil, err
		}
		all = append(all, display{Width: width, Height: height, IsActive: true})
	}
	return all, nil
}

// window is a window as clients see it.
type window struct {
	ID       int    `json:"id"`
	Title    string `json:"title"`
	X        int    `json:"x"`
	Y        int    `json:"y"`
	Width    int    `json:"width"`
	Height   int    `json:"height"`
	IsActive bool   `json:"isActive"`
}

func (r *Room) windows(w http.ResponseWriter, _ *http.Request) error {
	c, err := r.open()
	if err != nil {
		return err
	}
	ids, err := c.cardinals(c.root, "_NET_CLIENT_LIST")
	if err != nil {
		return err
	}
	active, err := c.cardinals(c.root, "_NET_ACTIVE_WINDOW")
	if err != nil {
		return err
	}
	all := []window{}
	for _, id := range ids {
		win, ok := c.describe(xproto.Window(id))
		if !ok {
			continue
		}
		win.IsActive = len(active) > 0 && active[0] == id
		all = append(all, win)
	}
	wire.JSON(w, http.StatusOK, map[string][]window{"windows": all})
	return nil
}

// describe tells of a window; ok is false for one that cannot be seen, has no
// title, or is gone meanwhile.
func (c *connection) describe(id xproto.Window) (w window, ok bool) {
	attributes, err := xproto.GetWindowAttributes(c.Conn, id).Reply()
	if err != nil || attributes.MapState != xproto.MapStateViewable {
		return w, false
	}
	w.Title = c.title(id)
	if w.Title == "" {
		return w, false
	}
	g, err := xproto.GetGeometry(c.Conn, xproto.Drawable(id)).Reply()
	if err != nil {
		return w, false
	}
	at, err := xproto.TranslateCoordinates(c.Conn, id, c.root, 0, 0).Reply()
	if err != nil {
		return w, false
	}
	w.ID, w.X, w.Y, w.Width, w.Height = int(id), int(at.DstX), int(at.DstY), int(g.Width), int(g.Height)
	return w, true
}

// maxTitle is how much of a title is told, in units of four bytes.
const maxTitle = 1024

// title is in UTF-8, or in Latin-1 with old programs.
func (c *connection) title(id xproto.Window) string {
	if atom, err := c.atom("_NET_WM_NAME"); err == nil {
		if p, err := xproto.GetProperty(c.Conn, false, id, atom, xproto.GetPropertyTypeAny, 0, maxTitle).Reply(); err == nil && len(p.Value) > 0 {
			return string([]rune(string(p.Value))) // what is not UTF-8 becomes U+FFFD
		}
	}
	p, err := xproto.GetProperty(c.Conn, false, id, xproto.AtomWmName, xproto.GetPropertyTypeAny, 0, maxTitle).Reply()
	if err != nil {
		return ""
	}
	runes := make([]rune, len(p.Value))
	for i, b := range p.Value {
		runes[i] = rune(b)
	}
	return string(runes)
}

func (c *connection) atom(name string) (xproto.Atom, error) {
	a, err := xproto.InternAtom(c.Conn, false, uint16(len(name)), name).Reply()
	if err != nil {
		return 0, failed("ask for the atom "+name, err)
	}
	return a.Atom, nil
}

// cardinals reads a property of numbers; one that is missing has none.
func (c *connection) cardinals(id xproto.Window, name string) ([]uint32, error) {
	atom, err := c.atom(name)
	if err != nil {
		return nil, err
	}
	const most = 4096
	p, err := xproto.GetProperty(c.Conn, false, id, atom, xproto.GetPropertyTypeAny, 0, most).Reply()
	if err != nil {
		return nil, failed("read "+name, err)
	}
	if p.Format != 32 {
		return nil, nil
	}
	var all []uint32
	for v := p.Value; len(v) >= 4; v = v[4:] {
		all = append(all, uint32(v[0])|uint32(v[1])<<8|uint32(v[2])<<16|uint32(v[3])<<24)
	}
	return all, nil
}

// ready answers when a window manager has taken the display.
func (r *Room) ready(w http.ResponseWriter, req *http.Request) error {
	for {
		c, err := r.open()
		if err != nil {
			return err
		}
		ids, err := c.cardinals(c.root, "_NET_SUPPORTING_WM_CHECK")
		if err != nil {
			return err
		}
		if len(ids) > 0 {
			wire.JSON(w, http.StatusOK, empty{})
			return nil
		}
		if err := pause(req.Context(), 10*time.Millisecond); err != nil {
			return err
		}
	}
}
