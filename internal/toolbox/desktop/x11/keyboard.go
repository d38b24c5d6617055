package x11

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jezek/xgb/xproto"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// keyboard is the layout: what each key types.
type keyboard struct {
	first   xproto.Keycode
	width   int
	syms    []xproto.Keysym  // width for each key, from first on
	borrow  []xproto.Keycode // keys without a symbol, which are given one when they are needed
	lent    map[xproto.Keycode]keysym
	lentSym map[keysym]xproto.Keycode
}

// lentKeys is a property of the root window: the keys to which this package gave
// symbols. Without it, a worker that is started anew would take them for keys of
// the layout, and find fewer to give each time.
const lentKeys = "_DAYTONA_LENT_KEYS"

// layout is the keyboard, read again after a change.
func (c *connection) layout() (*keyboard, error) {
	c.mu.Lock()
	k := c.keys
	c.mu.Unlock()
	if k != nil {
		return k, nil
	}
	setup := xproto.Setup(c.Conn)
	count := byte(setup.MaxKeycode - setup.MinKeycode + 1)
	got, err := xproto.GetKeyboardMapping(c.Conn, setup.MinKeycode, count).Reply()
	if err != nil {
		return nil, failed("read the keyboard's layout", err)
	}
	ours, err := c.cardinals(c.root, lentKeys)
	if err != nil {
		return nil, err
	}
	k = &keyboard{
		first: setup.MinKeycode, width: int(got.KeysymsPerKeycode), syms: got.Keysyms,
		lent: map[xproto.Keycode]keysym{}, lentSym: map[keysym]xproto.Keycode{},
	}
	for i := range int(count) {
		code := k.first + xproto.Keycode(i)
		row := k.row(code)
		switch {
		case !slices.ContainsFunc(row, func(s xproto.Keysym) bool { return s != 0 }):
			k.borrow = append(k.borrow, code)
		case slices.Contains(ours, uint32(code)):
			k.lent[code] = keysym(row[0])
			k.lentSym[keysym(row[0])] = code
		}
	}
	c.mu.Lock()
	c.keys = k
	c.mu.Unlock()
	return k, nil
}

func (k *keyboard) row(code xproto.Keycode) []xproto.Keysym {
	i := int(code-k.first) * k.width
	return k.syms[i : i+k.width]
}

// stroke is a key, and whether shift is needed for it.
type stroke struct {
	code  xproto.Keycode
	shift bool
}

// find looks for a key of the layout that types sym in the group that is on. The
// protocol tells two symbols for each of two groups, without and with shift.
func (k *keyboard) find(sym keysym, group int) (stroke, bool) {
	withShift := sym < symFunction || sym >= symUnicode // keys of the number pad are others with shift
	if code, ok := k.lentSym[sym]; ok {
		return stroke{code: code}, true
	}
	if group > 1 {
		return stroke{}, false
	}
	for shift := range 2 {
		if shift == 1 && !withShift {
			break
		}
		column := 2*group + shift
		for code := k.first; int(code-k.first)*k.width < len(k.syms); code++ {
			row := k.row(code)
			if _, lent := k.lent[code]; lent || column >= k.width {
				continue
			}
			if keysym(row[column]) == sym {
				return stroke{code: code, shift: shift == 1}, true
			}
			if code == 255 {
				break
			}
		}
	}
	return stroke{}, false
}

// lend gives symbols to keys that have none, or that were lent before the ones in
// use. Programs look up a key's symbol when they get to its event, so no key may
// get another one before (settle).
func (c *connection) lend(ctx context.Context, syms []keysym) error {
	k, err := c.layout()
	if err != nil {
		return err
	}
	var missing []keysym
	for _, s := range syms {
		if _, ok := k.lentSym[s]; !ok && !slices.Contains(missing, s) {
			missing = append(missing, s)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if len(missing) > len(k.borrow) {
		if err := c.settle(ctx); err != nil {
			return err
		}
		for code, s := range k.lent {
			if !slices.Contains(syms, s) {
				k.borrow = append(k.borrow, code)
				delete(k.lent, code)
				delete(k.lentSym, s)
			}
		}
		slices.Sort(k.borrow)
	}
	if len(missing) > len(k.borrow) {
		return wire.Errorf(http.StatusInternalServerError, wire.Internal, "the keyboard's layout has a symbol on every key, and none is left for %q", rune(missing[0]))
	}
	for _, s := range missing {
		code := k.borrow[len(k.borrow)-1]
		k.borrow = k.borrow[:len(k.borrow)-1]
		// The same with shift and in a second group: whatever is held, it types this.
		row := []xproto.Keysym{xproto.Keysym(s), xproto.Keysym(s), xproto.Keysym(s), xproto.Keysym(s)}
		if err := xproto.ChangeKeyboardMappingChecked(c.Conn, 1, code, byte(len(row)), row).Check(); err != nil {
			return failed("give a key another symbol", err)
		}
		k.lent[code], k.lentSym[s] = s, code
	}
	if err := c.noteLent(k); err != nil {
		return err
	}
	c.mu.Lock()
	c.keys = k
	c.mu.Unlock()
	return c.settle(ctx)
}

func (c *connection) noteLent(k *keyboard) error {
	atom, err := c.atom(lentKeys)
	if err != nil {
		return err
	}
	data := make([]byte, 0, 4*len(k.lent))
	for code := range k.lent {
		data = append(data, byte(code), 0, 0, 0)
	}
	err = xproto.ChangePropertyChecked(c.Conn, xproto.PropModeReplace, c.root, atom, xproto.AtomCardinal, 32, uint32(len(k.lent)), data).Check()
	return failed("note which keys have another symbol", err)
}

// chordPause is what programs have to act on a chord. Browsers move the focus only
// after their page did not want the key, and what is typed next would go elsewhere.
const chordPause = 50 * time.Millisecond

// maxDelay is how long one may wait between keys, in milliseconds.
const maxDelay = 10_000

// state is which modifiers are on, and the group of the layout.
func (c *connection) state() (mask uint16, group int, err error) {
	p, err := xproto.QueryPointer(c.Conn, c.root).Reply()
	if err != nil {
		return 0, 0, failed("ask for the keyboard's state", err)
	}
	return p.Mask, int(p.Mask >> 13 & 3), nil
}

// press holds a key. The returned function releases it, unless it was held before.
func (c *connection) press(code xproto.Keycode) (release func() error, err error) {
	held, err := xproto.QueryKeymap(c.Conn).Reply()
	if err != nil {
		return nil, failed("ask which keys are held", err)
	}
	if held.Keys[code/8]&(1<<(code%8)) != 0 {
		return func() error { return nil }, nil
	}
	if err := c.fake(xproto.KeyPress, byte(code)); err != nil {
		return nil, err
	}
	return func() error { return c.fake(xproto.KeyRelease, byte(code)) }, nil
}

// code is the key of a name.
func (c *connection) code(ctx context.Context, sym keysym) (stroke, error) {
	k, err := c.layout()
	if err != nil {
		return stroke{}, err
	}
	_, group, err := c.state()
	if err != nil {
		return stroke{}, err
	}
	if s, ok := k.find(sym, group); ok {
		return s, nil
	}
	if sym >= symFunction && sym < symUnicode { // in all groups alike
		if s, ok := k.find(sym, 0); ok {
			return s, nil
		}
	}
	if err := c.lend(ctx, []keysym{sym}); err != nil {
		return stroke{}, err
	}
	return stroke{code: k.lentSym[sym]}, nil
}

// hold holds modifiers. release lets them go, on whatever path, and joins what
// goes wrong to the error that it is given.
func (c *connection) hold(names []string, key string) (release func(*error), err error) {
	main := -1
	if key != "" {
		if _, main, err = parseKey(key); err != nil {
			return nil, err
		}
	}
	syms, err := parseModifiers(names, main)
	if err != nil {
		return nil, err
	}
	var held []func() error
	release = func(err *error) {
		for _, let := range slices.Backward(held) {
			*err = errors.Join(*err, let())
		}
	}
	for _, sym := range syms {
		s, err := c.code(context.Background(), sym)
		if err == nil {
			var let func() error
			if let, err = c.press(s.code); err == nil {
				held = append(held, let)
			}
		}
		if err != nil {
			release(&err)
			return nil, err
		}
	}
	return release, nil
}

// strike presses and releases a key.
func (c *connection) strike(ctx context.Context, s stroke) (err error) {
	if s.shift {
		shift, serr := c.code(ctx, symShift)
		if serr != nil {
			return serr
		}
		let, serr := c.press(shift.code)
		if serr != nil {
			return serr
		}
		defer func() { err = errors.Join(err, let()) }()
	}
	return errors.Join(c.fake(xproto.KeyPress, byte(s.code)), c.fake(xproto.KeyRelease, byte(s.code)))
}

// chord presses a key while modifiers are held.
func (c *connection) chord(ctx context.Context, key string, modifiers []string) (_ any, err error) {
	sym, _, err := parseKey(key)
	if err != nil {
		return nil, err
	}
	release, err := c.hold(modifiers, key)
	if err != nil {
		return nil, err
	}
	defer release(&err)
	s, err := c.code(ctx, sym)
	if err != nil {
		return nil, err
	}
	if err := c.strike(ctx, s); err != nil {
		return nil, err
	}
	return empty{}, pause(ctx, chordPause)
}

func (r *Room) pressKey(ctx context.Context, c *connection, w http.ResponseWriter, req *http.Request) (any, error) {
	var body struct {
		Key       string   `json:"key"`
		Modifiers []string `json:"modifiers"`
	}
	if err := wire.Decode(w, req, &body); err != nil {
		return nil, err
	}
	return c.chord(ctx, body.Key, body.Modifiers)
}

func (r *Room) hotkey(ctx context.Context, c *connection, w http.ResponseWriter, req *http.Request) (any, error) {
	var body struct {
		Keys string `json:"keys"`
	}
	if err := wire.Decode(w, req, &body); err != nil {
		return nil, err
	}
	parts := strings.Split(body.Keys, "+")
	for i, part := range parts {
		if parts[i] = strings.TrimSpace(part); parts[i] == "" {
			return nil, wire.Bad("keys is %q: write one chord of names with + between them, such as ctrl+shift+t; the plus sign is shift+= or num_plus", body.Keys)
		}
	}
	last := len(parts) - 1
	return c.chord(ctx, parts[last], parts[:last])
}

// key presses or releases one that stays as it is.
func (r *Room) key(down bool) func(context.Context, *connection, http.ResponseWriter, *http.Request) (any, error) {
	kind := byte(xproto.KeyRelease)
	if down {
		kind = xproto.KeyPress
	}
	return func(ctx context.Context, c *connection, w http.ResponseWriter, req *http.Request) (any, error) {
		var body struct {
			Key string `json:"key"`
		}
		if err := wire.Decode(w, req, &body); err != nil {
			return nil, err
		}
		sym, _, err := parseKey(body.Key)
		if err != nil {
			return nil, err
		}
		s, err := c.code(ctx, sym)
		if err != nil {
			return nil, err
		}
		return empty{}, c.fake(kind, byte(s.code))
	}
}

func (r *Room) typeText(ctx context.Context, c *connection, w http.ResponseWriter, req *http.Request) (_ any, err error) {
	var body struct {
		Text  string `json:"text"`
		Delay int    `json:"delay"`
	}
	if err := wire.Decode(w, req, &body); err != nil {
		return nil, err
	}
	if body.Delay < 0 || body.Delay > maxDelay {
		return nil, wire.Bad("delay is %d: it must be from 0 to %d milliseconds", body.Delay, maxDelay)
	}
	syms, err := textSyms(body.Text)
	if err != nil {
		return nil, err
	}
	// With Caps Lock on, letters would come out the other way round.
	mask, _, err := c.state()
	if err != nil {
		return nil, err
	}
	if mask&xproto.ModMaskLock != 0 {
		caps, cerr := c.code(ctx, symCapsLock)
		if cerr != nil {
			return nil, cerr
		}
		if err := c.strike(ctx, caps); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, c.strike(context.WithoutCancel(ctx), caps)) }()
	}
	for len(syms) > 0 {
		part, err := c.prepare(ctx, syms)
		if err != nil {
			return nil, err
		}
		for _, sym := range syms[:part] {
			s, err := c.code(ctx, sym)
			if err != nil {
				return nil, err
			}
			if err := c.strike(ctx, s); err != nil {
				return nil, err
			}
			if err := pause(ctx, time.Duration(body.Delay)*time.Millisecond); err != nil {
				return nil, err
			}
		}
		syms = syms[part:]
	}
	return empty{}, nil
}

// prepare lends keys for the symbols that the layout does not have, and tells how
// many of syms can be typed then: keys may be too few for all.
func (c *connection) prepare(ctx context.Context, syms []keysym) (n int, err error) {
	k, err := c.layout()
	if err != nil {
		return 0, err
	}
	_, group, err := c.state()
	if err != nil {
		return 0, err
	}
	most := len(k.borrow) + len(k.lent)
	var foreign []keysym
	for _, s := range syms {
		if _, lent := k.lentSym[s]; !lent {
			if _, ok := k.find(s, group); ok {
				n++
				continue
			}
		}
		if !slices.Contains(foreign, s) {
			if len(foreign) == most {
				break
			}
			foreign = append(foreign, s)
		}
		n++
	}
	if n == 0 {
		return 0, wire.Errorf(http.StatusInternalServerError, wire.Internal, "the keyboard's layout has a symbol on every key, and none is left for %q", rune(syms[0]))
	}
	return n, c.lend(ctx, foreign)
}

// textSyms are the keysyms of a text.
func textSyms(text string) ([]keysym, error) {
	if !utf8.ValidString(text) {
		return nil, wire.Bad("the text is not valid UTF-8")
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	syms := make([]keysym, 0, len(text))
	for _, r := range text {
		switch {
		case r == '\n' || r == '\r':
			syms = append(syms, symReturn)
		case r == '\t':
			return nil, wire.Bad("the text has a tab in it: press the key tab instead")
		case unicode.IsControl(r) || r == '\u2028' || r == '\u2029':
			return nil, wire.Bad("the text has the control character U+%04X in it: take it out, or press a key instead", r)
		default:
			syms = append(syms, symOf(r))
		}
	}
	return syms, nil
}
