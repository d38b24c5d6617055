package x11

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// keysym is the X protocol's number of a symbol on a key.
type keysym uint32

// Keysyms of the keys that have names (X11/keysymdef.h).
const (
	symReturn   keysym = 0xff0d
	symCapsLock keysym = 0xffe5
	symShift    keysym = 0xffe1

	symFunction keysym = 0xff00     // the first of those that are no characters
	symUnicode  keysym = 0x01000000 // to which a character's number is added
)

// symOf is the keysym of a character.
func symOf(r rune) keysym {
	if r >= 0x20 && r <= 0x7e || r >= 0xa0 && r <= 0xff {
		return keysym(r) // Latin-1
	}
	return symUnicode + keysym(r)
}

// families are the modifiers: their names, and the keys on the left and the right.
var families = []struct {
	names       []string
	left, right keysym
}{
	{[]string{"ctrl", "control"}, 0xffe3, 0xffe4},
	{[]string{"alt", "option"}, 0xffe9, 0xffea},
	{[]string{"shift"}, symShift, 0xffe2},
	{[]string{"cmd", "command", "meta", "super", "win", "windows"}, 0xffeb, 0xffec},
}

// modifier finds the family of a modifier's name. side is "" for a plain name.
func modifier(name string) (family int, side string, ok bool) {
	for i, f := range families {
		if slices.Contains(f.names, name) {
			return i, "", true
		}
		for _, n := range f.names {
			switch name {
			case "l" + n, "left_" + n:
				return i, "left", true
			case "r" + n, "right_" + n:
				return i, "right", true
			}
		}
	}
	return 0, "", false
}

// namedKey is the keysym of a key that types no character.
func namedKey(name string) (keysym, bool) {
	switch name {
	case "enter", "return":
		return symReturn, true
	case "escape", "esc":
		return 0xff1b, true
	case "tab":
		return 0xff09, true
	case "backspace":
		return 0xff08, true
	case "delete", "del":
		return 0xffff, true
	case "space", "spacebar":
		return 0x20, true
	case "insert":
		return 0xff63, true
	case "home":
		return 0xff50, true
	case "end":
		return 0xff57, true
	case "pageup", "page_up":
		return 0xff55, true
	case "pagedown", "page_down":
		return 0xff56, true
	case "up":
		return 0xff52, true
	case "down":
		return 0xff54, true
	case "left":
		return 0xff51, true
	case "right":
		return 0xff53, true
	case "capslock", "caps_lock":
		return symCapsLock, true
	case "menu":
		return 0xff67, true
	case "num_plus":
		return 0xffab, true
	case "num_minus":
		return 0xffad, true
	case "num_asterisk":
		return 0xffaa, true
	case "num_slash":
		return 0xffaf, true
	case "num_decimal":
		return 0xffae, true
	case "num_enter":
		return 0xff8d, true
	case "num_equal":
		return 0xffbd, true
	case "num_lock", "numlock":
		return 0xff7f, true
	}
	var n int
	if _, err := fmt.Sscanf(name, "f%d", &n); err == nil && name == fmt.Sprintf("f%d", n) && n >= 1 && n <= 24 {
		return keysym(0xffbe + n - 1), true
	}
	if _, err := fmt.Sscanf(name, "num%d", &n); err == nil && name == fmt.Sprintf("num%d", n) && n >= 0 && n <= 9 {
		return keysym(0xffb0 + n), true
	}
	return 0, false
}

// plain are the characters that keys have without shift, beside letters and digits.
const plain = "`-=[]\\;',./"

// shifted are those of the same keys with shift, on the keyboard of the United States.
var shifted = map[rune]rune{
	'~': '`', '!': '1', '@': '2', '#': '3', '$': '4', '%': '5', '^': '6', '&': '7', '*': '8', '(': '9', ')': '0', '_': '-', '+': '=',
	'{': '[', '}': ']', '|': '\\', ':': ';', '"': '\'', '<': ',', '>': '.', '?': '/',
}

// parseKey is the keysym of a key's name. family is that of a modifier, else -1.
func parseKey(name string) (sym keysym, family int, err error) {
	runes := []rune(name)
	switch {
	case name == "":
		return 0, -1, wire.Bad("a key is missing: name one, such as enter, f5 or a")
	case len(runes) == 1:
		r := runes[0]
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', strings.ContainsRune(plain, r):
			return keysym(r), -1, nil
		case r >= 'A' && r <= 'Z':
			return keysym(unicode.ToLower(r)), -1, nil
		case shifted[r] != 0:
			return 0, -1, wire.Bad("%q is no key of its own: press %q with the modifier shift, or type the text", name, string(shifted[r]))
		case unicode.IsSpace(r) || unicode.IsControl(r):
			return 0, -1, wire.Bad("white space and control characters are no names of keys: use space, tab or enter")
		}
		return 0, -1, wire.Bad("%q is no key: type it as text", name)
	}
	for _, r := range name {
		if r > unicode.MaxASCII {
			return 0, -1, wire.Bad("%q is no key: type it as text", name)
		}
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			return 0, -1, wire.Bad("key %q has white space or control characters in it: press one key at a time, or type the text", name)
		}
	}
	lower := strings.ReplaceAll(strings.ToLower(name), "-", "_")
	if i, side, ok := modifier(lower); ok {
		if side == "right" {
			return families[i].right, i, nil
		}
		return families[i].left, i, nil
	}
	if sym, ok := namedKey(lower); ok {
		return sym, -1, nil
	}
	if rest, ok := strings.CutPrefix(lower, "num"); ok && len(rest) == 1 {
		for word, sign := range map[string]string{"plus": "+", "minus": "_", "asterisk": "*", "slash": "/", "decimal": ".", "equal": "="} {
			if rest == sign {
				return 0, -1, wire.Bad("key %q is called num_%s", name, word)
			}
		}
	}
	return 0, -1, wire.Bad("there is no key %q: keys are letters, digits, %s and names such as enter, escape, tab, backspace, delete, space, home, pageup, left, f1, num0, ctrl, alt, shift and cmd", name, plain)
}

// parseModifiers are the keysyms of modifiers that are held while the key of the
// family main (-1 for none) or the mouse is used.
func parseModifiers(names []string, main int) ([]keysym, error) {
	var syms []keysym
	seen := map[int]string{}
	for _, name := range names {
		lower := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), "-", "_")
		i, side, ok := modifier(lower)
		switch {
		case !ok:
			return nil, wire.Bad("%q is no modifier: they are ctrl, alt, shift and cmd", name)
		case side != "":
			return nil, wire.Bad("modifier %q has a side: use %s", name, families[i].names[0])
		case seen[i] != "":
			return nil, wire.Bad("modifiers %s and %s are the same key: name it once", seen[i], name)
		case i == main:
			return nil, wire.Bad("modifier %q is the key itself: leave it out", name)
		}
		seen[i] = name
		syms = append(syms, families[i].left)
	}
	return syms, nil
}
