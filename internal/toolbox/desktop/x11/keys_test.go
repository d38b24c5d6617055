package x11

import (
	"net/http"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

func TestKeysHaveNamesInAnyCaseAndSpelling(t *testing.T) {
	for name, want := range map[string]keysym{
		"enter": 0xff0d, "Return": 0xff0d, "ESC": 0xff1b, "Page-Down": 0xff56, "pagedown": 0xff56, "f1": 0xffbe, "F24": 0xffd5,
		"a": 'a', "A": 'a', "7": '7', "\\": '\\', "`": '`', "space": ' ', "del": 0xffff, "num5": 0xffb5, "num_plus": 0xffab, "num-enter": 0xff8d,
		"ctrl": 0xffe3, "control": 0xffe3, "lctrl": 0xffe3, "right_ctrl": 0xffe4, "RShift": 0xffe2, "left-alt": 0xffe9, "win": 0xffeb, "rcmd": 0xffec,
		"left": 0xff51, "right": 0xff53, "capslock": 0xffe5, "menu": 0xff67,
	} {
		if got, _, err := parseKey(name); err != nil || got != want {
			t.Errorf("%s: %x, %v, want %x", name, got, err, want)
		}
	}
}

func TestWhatIsNoKeyIsRefusedWithAHint(t *testing.T) {
	for name, hint := range map[string]string{
		"": "missing", "!": `press "1" with the modifier shift`, "?": `"/"`, "num+": "num_plus", " ": "space, tab or enter", "\n": "space, tab or enter",
		"é": "type it as text", "漢": "type it as text", "f25": "no key", "f0": "no key", "f01": "no key", "num10": "no key", "hello": "no key",
		"ctrl c": "one key at a time", "\x00": "control characters", strings.Repeat("x", 1000): "no key", "héllo": "type it as text", "+": `press "=" with`,
	} {
		_, _, err := parseKey(name)
		if err == nil || !strings.Contains(err.Error(), hint) || wire.From(err).Status != http.StatusBadRequest {
			t.Errorf("%q: %v, want %q", name, err, hint)
		}
	}
}

func TestModifiersAreNamedOnceAndWithoutASide(t *testing.T) {
	syms, err := parseModifiers([]string{"Ctrl", " option ", "SHIFT", "meta"}, -1)
	if err != nil || len(syms) != 4 || syms[0] != 0xffe3 || syms[1] != 0xffe9 || syms[2] != 0xffe1 || syms[3] != 0xffeb {
		t.Errorf("%x, %v", syms, err)
	}
	_, shift, _ := parseKey("rshift")
	for _, c := range []struct {
		names []string
		main  int
		hint  string
	}{
		{[]string{"lctrl"}, -1, "has a side: use ctrl"},
		{[]string{"right_alt"}, -1, "has a side: use alt"},
		{[]string{"ctrl", "control"}, -1, "the same key"},
		{[]string{"shift"}, shift, "is the key itself"},
		{[]string{"hyper"}, -1, "no modifier"},
		{[]string{""}, -1, "no modifier"},
		{[]string{"a"}, -1, "no modifier"},
	} {
		if _, err := parseModifiers(c.names, c.main); err == nil || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%q: %v, want %q", c.names, err, c.hint)
		}
	}
}

func TestATextIsCheckedBeforeItIsTyped(t *testing.T) {
	for text, hint := range map[string]string{"a\tb": "tab", "a\x1b[A": "U+001B", "\u2028": "U+2028", "\u2029": "U+2029", "\u0085": "U+0085", "\x7f": "U+007F", "\xff": "UTF-8"} {
		if _, err := textSyms(text); err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("%q: %v, want %q", text, err, hint)
		}
	}
	got, err := textSyms("a\r\nb\rc\né漢😀")
	want := []keysym{'a', symReturn, 'b', symReturn, 'c', symReturn, 0xe9, 0x01006f22, 0x0101f600}
	if err != nil || len(got) != len(want) {
		t.Fatalf("%x, %v", got, err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("symbol %d is %x, want %x", i, got[i], want[i])
		}
	}
}
