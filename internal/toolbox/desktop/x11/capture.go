package x11

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/HugoSmits86/nativewebp"
	"github.com/jezek/xgb/xfixes"
	"github.com/jezek/xgb/xproto"
	"golang.org/x/image/draw"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// picture is how a screenshot is asked for.
type picture struct {
	area    image.Rectangle // empty is the whole screen
	cursor  bool
	format  string
	quality int
	scale   float64
	small   bool // the encoder takes its time
}

// taken is the answer.
type taken struct {
	Screenshot     string `json:"screenshot"`
	CursorPosition *place `json:"cursorPosition,omitempty"`
	SizeBytes      int    `json:"sizeBytes"`
}

func (r *Room) screenshot(region, compressed bool) http.Handler {
	return wire.Handler(func(w http.ResponseWriter, req *http.Request) error {
		p, err := asked(req.URL.Query(), region, compressed)
		if err != nil {
			return err
		}
		c, err := r.open()
		if err != nil {
			return err
		}
		answer, err := c.take(p)
		if err != nil {
			return err
		}
		wire.JSON(w, http.StatusOK, answer)
		return nil
	})
}

// asked reads the query.
func asked(q url.Values, region, compressed bool) (p picture, err error) {
	p = picture{format: "png", quality: 85, scale: 1, small: compressed}
	if p.cursor, err = boolean(q, "showCursor", "show_cursor"); err != nil {
		return p, err
	}
	if region {
		var n [4]int
		for i, name := range []string{"x", "y", "width", "height"} {
			if n[i], err = strconv.Atoi(q.Get(name)); err != nil {
				return p, wire.Bad("query parameter %s is %q: it must be an integer", name, q.Get(name))
			}
		}
		if n[2] <= 0 || n[3] <= 0 {
			return p, wire.Bad("the region is %d by %d pixels: width and height must be more than 0", n[2], n[3])
		}
		if n[0] < 0 || n[1] < 0 || n[0] > math.MaxInt16 || n[1] > math.MaxInt16 || n[2] > math.MaxInt16 || n[3] > math.MaxInt16 {
			return p, wire.Bad("the region %dx%d at %d,%d is not on the screen", n[2], n[3], n[0], n[1])
		}
		p.area = image.Rect(n[0], n[1], n[0]+n[2], n[1]+n[3])
	}
	if !compressed {
		return p, nil
	}
	if p.format = strings.ToLower(q.Get("format")); p.format == "jpg" {
		p.format = "jpeg"
	}
	if text := q.Get("quality"); text != "" {
		if p.quality, err = strconv.Atoi(text); err != nil || p.quality < 1 || p.quality > 100 {
			return p, wire.Bad("query parameter quality is %q: it must be an integer from 1 to 100", text)
		}
	}
	if text := q.Get("scale"); text != "" {
		if p.scale, err = strconv.ParseFloat(text, 64); err != nil || !(p.scale >= 0.1 && p.scale <= 1) {
			return p, wire.Bad("query parameter scale is %q: it must be a number from 0.1 to 1", text)
		}
	}
	return p, nil
}

// boolean is a query parameter by the first of its names that is there.
func boolean(q url.Values, names ...string) (bool, error) {
	for _, name := range names {
		if text := q.Get(name); text != "" {
			b, err := strconv.ParseBool(strings.ToLower(text))
			if err != nil {
				return false, wire.Bad("query parameter %s is %q: it must be true or false", name, text)
			}
			return b, nil
		}
	}
	return false, nil
}

func (c *connection) take(p picture) (*taken, error) {
	width, height, err := c.size()
	if err != nil {
		return nil, err
	}
	screen := image.Rect(0, 0, width, height)
	if p.area.Empty() {
		p.area = screen
	} else if !p.area.In(screen) {
		return nil, wire.Bad("the region %dx%d at %d,%d is not on the screen, which has %dx%d pixels", p.area.Dx(), p.area.Dy(), p.area.Min.X, p.area.Min.Y, width, height)
	}
	img, err := c.pixels(p.area)
	if err != nil {
		return nil, err
	}
	var answer taken
	if p.cursor {
		at, err := c.drawCursor(img, p.area.Min)
		if err != nil {
			return nil, err
		}
		answer.CursorPosition = &place{X: scaled(at.X, p.scale), Y: scaled(at.Y, p.scale)}
	}
	var out image.Image = img
	if p.scale < 1 {
		small := image.NewRGBA(image.Rect(0, 0, max(1, scaled(img.Rect.Dx(), p.scale)), max(1, scaled(img.Rect.Dy(), p.scale))))
		draw.CatmullRom.Scale(small, small.Rect, img, img.Rect, draw.Src, nil)
		out = small
	}
	b, err := encode(out, p)
	if err != nil {
		return nil, err
	}
	answer.SizeBytes = len(b)
	answer.Screenshot = base64.StdEncoding.EncodeToString(b)
	return &answer, nil
}

func scaled(n int, scale float64) int { return int(math.Round(float64(n) * scale)) }

// pixels copies a part of the screen.
func (c *connection) pixels(area image.Rectangle) (*image.RGBA, error) {
	const allPlanes = 1<<32 - 1
	got, err := xproto.GetImage(c.Conn, xproto.ImageFormatZPixmap, xproto.Drawable(c.root),
		int16(area.Min.X), int16(area.Min.Y), uint16(area.Dx()), uint16(area.Dy()), allPlanes).Reply()
	if err != nil {
		return nil, failed("read the screen", err)
	}
	if got.Depth != 24 || len(got.Data) < 4*area.Dx()*area.Dy() {
		return nil, wire.Bad("the display has a depth of %d bits: pictures need one of 24 (Xvfb -screen 0 1024x768x24)", got.Depth)
	}
	p := got.Data[:4*area.Dx()*area.Dy()]
	for i := 0; i+3 < len(p); i += 4 { // blue, green, red and nothing become red, green, blue and opaque
		p[i], p[i+2], p[i+3] = p[i+2], p[i], 0xff
	}
	return &image.RGBA{Pix: p, Stride: 4 * area.Dx(), Rect: image.Rect(0, 0, area.Dx(), area.Dy())}, nil
}

// drawCursor draws the pointer's picture where it is on the screen, of which img
// shows the part from origin on, and tells where that is.
func (c *connection) drawCursor(img *image.RGBA, origin image.Point) (image.Point, error) {
	got, err := xfixes.GetCursorImage(c.Conn).Reply()
	if err != nil {
		return image.Point{}, failed("read the pointer's picture", err)
	}
	at := image.Pt(int(got.X), int(got.Y))
	cursor := image.NewRGBA(image.Rect(0, 0, int(got.Width), int(got.Height)))
	for i, argb := range got.CursorImage[:min(len(got.CursorImage), len(cursor.Pix)/4)] {
		cursor.SetRGBA(i%int(got.Width), i/int(got.Width), color.RGBA{uint8(argb >> 16), uint8(argb >> 8), uint8(argb), uint8(argb >> 24)})
	}
	corner := at.Sub(origin).Sub(image.Pt(int(got.Xhot), int(got.Yhot)))
	draw.Draw(img, cursor.Rect.Add(corner), cursor, image.Point{}, draw.Over)
	return at, nil
}

// encode makes a file of the picture. A format that it does not know becomes PNG.
func encode(img image.Image, p picture) ([]byte, error) {
	var b bytes.Buffer
	var err error
	switch p.format {
	case "jpeg":
		err = jpeg.Encode(&b, img, &jpeg.Options{Quality: p.quality})
	case "webp":
		err = nativewebp.Encode(&b, img, nil)
	default:
		encoder := png.Encoder{CompressionLevel: png.BestSpeed}
		if p.small {
			encoder.CompressionLevel = png.DefaultCompression
		}
		err = encoder.Encode(&b, img)
	}
	return b.Bytes(), failed("encode the picture", err)
}
