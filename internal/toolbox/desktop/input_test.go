package desktop

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// after runs act, and waits until the form's log ends with what it wants.
func (s *sandbox) after(read func() string, what, want string, act func()) {
	s.t.Helper()
	from := len(read())
	act()
	var got string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if got = read()[from:]; strings.Contains(got, want) {
			return
		}
	}
	s.t.Errorf("%s: the form got\n%swant\n%s", what, got, want)
}

func TestTheMouseClicksDragsAndScrollsWithModifiersHeld(t *testing.T) {
	t.Parallel()
	s := started(t, 73)
	read := s.events()
	windows := s.do("GET", "/computeruse/display/windows", nil)["windows"].([]any)
	w := windows[0].(map[string]any)
	x, y := int(w["x"].(float64))+70, int(w["y"].(float64))+230 // the middle of the square: 50,50 there
	click := func(b body) func() {
		return func() { b["x"], b["y"] = x, y; s.do("POST", "/computeruse/mouse/click", b) }
	}
	for what, c := range map[string]struct {
		b    body
		want string
	}{
		"left":                {body{}, "mouse ButtonPress 1 50,50\nmouse ButtonRelease 1 50,50\n"},
		"right":               {body{"button": "RIGHT"}, "mouse ButtonPress 3 50,50\nmouse ButtonRelease 3"},
		"middle with control": {body{"button": "middle", "modifiers": []string{"control"}}, "mouse ButtonPress 2+ctrl 50,50\nmouse ButtonRelease 2+ctrl"},
		"three":               {body{"clicks": 3, "double": false}, "triple\n"},
		"alt and shift":       {body{"modifiers": []string{"alt", "shift"}, "button": "right"}, "mouse ButtonPress 3+shift+alt"},
	} {
		s.after(read, what, c.want, click(c.b))
		time.Sleep(600 * time.Millisecond) // or the next is one click more of this one
	}
	s.after(read, "no modifier is left", "mouse ButtonPress 1 50,50\n", click(body{}))
	time.Sleep(600 * time.Millisecond)
	s.after(read, "double", strings.Repeat("mouse ButtonPress 1 50,50\nmouse ButtonRelease 1 50,50\n", 2), click(body{"double": true}))
	time.Sleep(600 * time.Millisecond)
	s.after(read, "drag", "drag 80,90\nmouse ButtonRelease 1 80,90\n", func() {
		at := s.do("POST", "/computeruse/mouse/drag", body{"startX": x, "startY": y, "endX": x + 30, "endY": y + 40})
		if at["x"] != float64(x+30) || at["y"] != float64(y+40) {
			t.Errorf("dragged to %v", at)
		}
	})
	if moves := strings.Count(read(), "drag "); moves < 10 {
		t.Errorf("%d moves in the drag", moves)
	}
	for direction, button := range map[string]int{"up": 4, "down": 5, "left": 6, "right": 7} {
		want := fmt.Sprintf("mouse ButtonPress %d+shift 50,50\nmouse ButtonRelease %d+shift 50,50\n", button, button)
		if button > 5 {
			continue // Tk 8.6 tells of the wheel's two main directions only
		}
		s.after(read, direction, strings.Repeat(want, 3), func() {
			if got := s.do("POST", "/computeruse/mouse/scroll", body{"x": x, "y": y, "direction": direction, "amount": 3, "modifiers": []string{"shift"}}); got["success"] != true {
				t.Errorf("scroll: %v", got)
			}
		})
	}
	s.after(read, "down", "mouse ButtonPress 1 50,50\n", func() { s.do("POST", "/computeruse/mouse/down", body{"x": x, "y": y}) })
	s.after(read, "held while it moves", "drag 60,50\n", func() { s.do("POST", "/computeruse/mouse/move", body{"x": x + 10, "y": y}) })
	s.after(read, "up", "mouse ButtonRelease 1 60,50\n", func() { s.do("POST", "/computeruse/mouse/up", body{}) })
	if at := s.do("POST", "/computeruse/mouse/move", body{"x": 1 << 40, "y": -5}); at["x"] != 1023.0 || at["y"] != 0.0 {
		t.Errorf("beyond the screen: %v", at)
	}
	if at := s.do("GET", "/computeruse/mouse/position", nil); at["x"] != 1023.0 || at["y"] != 0.0 {
		t.Errorf("position: %v", at)
	}
	for path, bad := range map[string][]body{
		"click":  {{"x": 1, "y": 1, "clicks": 0}, {"x": 1, "y": 1, "clicks": 11}, {"x": 1, "y": 1, "button": "fourth"}, {"x": 1}, {"x": 1, "y": 1, "modifiers": []string{"lctrl"}}, {"x": "1", "y": 1}, {"x": 1.5, "y": 1}},
		"move":   {{}, {"x": 1}},
		"drag":   {{"startX": 1, "startY": 1, "endX": 1}, {"startX": 1, "startY": 1, "endX": 1, "endY": 1, "button": "x"}},
		"scroll": {{"x": 1, "y": 1, "direction": "sideways"}, {"x": 1, "y": 1, "direction": "up", "amount": -1}, {"x": 1, "y": 1, "direction": "up", "amount": 1 << 30}, {"x": 1, "y": 1}},
		"down":   {{"button": "x"}},
	} {
		for _, b := range bad {
			s.refused("POST", "/computeruse/mouse/"+path, b, 400)
		}
	}
}

func TestKeysArePressedHeldAndReleasedInAnyLayout(t *testing.T) {
	t.Parallel()
	s := started(t, 74)
	read := s.events()
	key := func(b body) func() { return func() { s.do("POST", "/computeruse/keyboard/key", b) } }
	hotkey := func(keys string) func() {
		return func() { s.do("POST", "/computeruse/keyboard/hotkey", body{"keys": keys}) }
	}
	for _, c := range []struct {
		what string
		act  func()
		want string
	}{
		{"a key", key(body{"key": "F5"}), "key KeyPress F5\nkey KeyRelease F5\n"},
		{"a capital is the plain key", key(body{"key": "A"}), "key KeyPress a\n"},
		{"with shift", key(body{"key": "a", "modifiers": []string{"shift"}}), "key KeyPress A+shift\n"},
		{"null modifiers", key(body{"key": "b", "modifiers": nil}), "key KeyPress b\n"},
		{"of the number pad", key(body{"key": "num7"}), "key KeyPress KP_7\n"},
		{"one that no keyboard has", key(body{"key": "f24"}), "key KeyPress F24\n"},
		{"a sided modifier", key(body{"key": "right_ctrl"}), "key KeyPress Control_R\nkey KeyRelease Control_R+ctrl\n"},
		{"hotkey", hotkey("ctrl + Shift+ k"), "key KeyPress K+shift+ctrl\n"},
		{"hotkey of a modifier alone", hotkey("shift"), "key KeyPress Shift_L\nkey KeyRelease Shift_L+shift\n"},
		{"hotkey of a sign", hotkey("ctrl+-"), "key KeyPress minus+ctrl\n"},
		{"nothing is left", key(body{"key": "x"}), "key KeyPress x\n"},
	} {
		s.after(read, c.what, c.want, c.act)
	}
	s.after(read, "held", "key KeyPress C+shift\n", func() {
		s.do("POST", "/computeruse/keyboard/down", body{"key": "shift"})
		s.do("POST", "/computeruse/keyboard/key", body{"key": "c"})
	})
	s.after(read, "what a chord holds is held on", "key KeyPress D+shift+ctrl\n", key(body{"key": "d", "modifiers": []string{"ctrl", "shift"}}))
	s.after(read, "let go", "key KeyPress e\n", func() {
		s.do("POST", "/computeruse/keyboard/up", body{"key": "shift"})
		s.do("POST", "/computeruse/keyboard/key", body{"key": "e"})
	})
	clear := func() {
		s.do("POST", "/computeruse/keyboard/hotkey", body{"keys": "ctrl+/"}) // Tk: select all
		s.do("POST", "/computeruse/keyboard/key", body{"key": "delete"})
	}
	clear()
	s.after(read, "Caps Lock changes no text", `text 'aB1'`, func() {
		s.do("POST", "/computeruse/keyboard/key", body{"key": "capslock"})
		s.do("POST", "/computeruse/keyboard/type", body{"text": "aB1"})
	})
	s.after(read, "and stays on", "key KeyPress Q", func() {
		s.do("POST", "/computeruse/keyboard/key", body{"key": "q"})
		s.do("POST", "/computeruse/keyboard/key", body{"key": "capslock"})
	})
	for _, layout := range []string{"de", "fr", "ru", "us,gr", "cz(qwerty)"} {
		clear()
		keymap := exec.CommandContext(t.Context(), "setxkbmap", "-display", s.env["DISPLAY"], layout)
		if out, err := keymap.CombinedOutput(); err != nil {
			t.Fatalf("setxkbmap: %v: %s", err, out)
		}
		const text = `Az09 zy ZY @#{[]}\|~<> äöüß éèç ыЯ λΩ ěš €`
		s.after(read, "layout "+layout, "text "+strings.ReplaceAll(`'`+text+`'`, `\`, `\\`)+"\n", func() {
			s.do("POST", "/computeruse/keyboard/type", body{"text": text})
		})
		s.after(read, "hotkey with "+layout, "key KeyPress z+ctrl\n", hotkey("ctrl+z"))
	}
	for path, bad := range map[string][]body{
		"key":    {{}, {"key": "!"}, {"key": "a", "modifiers": []string{"x"}}, {"key": "shift", "modifiers": []string{"shift"}}, {"key": 5}},
		"hotkey": {{}, {"keys": ""}, {"keys": "ctrl+"}, {"keys": "ctrl++"}, {"keys": "ctrl+c ctrl+v"}, {"keys": "a+b"}, {"keys": "ctrl+control+c"}},
		"type":   {{"text": "a\tb"}, {"text": "x", "delay": -1}, {"text": "x", "delay": 1 << 30}, {"text": "\u0000"}},
		"down":   {{}, {"key": "é"}},
		"up":     {{"key": "%"}},
	} {
		for _, b := range bad {
			s.refused("POST", "/computeruse/keyboard/"+path, b, 400)
		}
	}
}
