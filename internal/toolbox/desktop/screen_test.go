package desktop

import (
	"strings"
	"testing"
)

func TestAFormIsFilledInAndItsAnswerIsReadFromTheScreen(t *testing.T) {
	s := started(t, 72)
	read := s.events()
	before, format, answer := s.look("")
	if format != "png" || before.Bounds().Dx() != 1024 || before.Bounds().Dy() != 768 || answer["cursorPosition"] != nil {
		t.Errorf("%s of %v, cursor at %v", format, before.Bounds(), answer["cursorPosition"])
	}
	if got := colour(before, 100+20+50, 100+180+50); got != 0xff0000 {
		t.Errorf("the square is %06x", got)
	}
	windows := s.do("GET", "/computeruse/display/windows", nil)["windows"].([]any)
	if len(windows) != 1 {
		t.Fatalf("windows: %v", windows)
	}
	w := windows[0].(map[string]any)
	if w["title"] != "Form – 表" || w["width"] != 400.0 || w["height"] != 300.0 || w["isActive"] != true {
		t.Errorf("window: %v", w)
	}
	left, top := int(w["x"].(float64)), int(w["y"].(float64))
	if at := s.do("POST", "/computeruse/mouse/click", body{"x": left + 70, "y": top + 130}); at["x"] != float64(left+70) || at["y"] != float64(top+130) {
		t.Errorf("clicked at %v", at)
	}
	s.await("the button was pressed", func() bool { return strings.Contains(read(), "button\n") })
	s.await("the square is green", func() bool {
		img, _, _ := s.look("")
		return colour(img, left+20+50, top+180+50) == 0x00a000
	})
	s.do("POST", "/computeruse/mouse/click", body{"x": left + 100, "y": top + 40})
	for _, text := range []string{"Hello, World! ~`@#$%^&*()_+-={}[]|\\:;\"'<>,.?/", "\ngrüße €żółć Привет שלום 漢字 かな ½", strings.Repeat("一二三四五六七八九十甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳午未申酉戌亥天地玄黃宇宙洪荒日月盈昃", 1)} {
		if got := s.send("POST", "/computeruse/keyboard/type", body{"text": text}); got.Body.String() != "{}\n" {
			t.Errorf("typed: %d %s", got.Code, got.Body)
		}
	}
	want := "漢字 かな ½一二三四五六七八九十甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳午未申酉戌亥天地玄黃宇宙洪荒日月盈昃'\n"
	s.await("the text is in the field", func() bool { return strings.HasSuffix(read(), want) })
	if !strings.Contains(read(), `'Hello, World! ~`+"`"+`@#$%^&*()_+-={}[]|\\:;"\'<>,.?/\ngrüße €żółć Привет שלום 漢字`) {
		t.Errorf("the text: %s", read()[strings.LastIndex(read(), "text"):])
	}
	s.look("?showCursor=true")
}
