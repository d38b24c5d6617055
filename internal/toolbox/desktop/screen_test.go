package desktop

import (
	"fmt"
	"strings"
	"testing"
)

func TestAFormIsFilledInAndItsAnswerIsReadFromTheScreen(t *testing.T) {
	t.Parallel()
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

func TestScreenshotsAreMadeAsTheyAreAskedFor(t *testing.T) {
	t.Parallel()
	s := started(t, 75, "VNC_RESOLUTION", "640x480")
	if got := fmt.Sprint(s.do("GET", "/computeruse/display/info", nil)); got != "map[displays:[map[height:480 id:0 isActive:true width:640 x:0 y:0]]]" {
		t.Error(got)
	}
	s.do("POST", "/computeruse/mouse/move", body{"x": 300, "y": 400})
	for query, want := range map[string]struct {
		format        string
		width, height int
		cursor        any
	}{
		"":                                       {"png", 640, 480, nil},
		"?showCursor=true":                       {"png", 640, 480, "map[x:300 y:400]"},
		"?show_cursor=True":                      {"png", 640, 480, "map[x:300 y:400]"},
		"/region?x=100&y=100&width=41&height=30": {"png", 41, 30, nil},
		"/compressed":                            {"png", 640, 480, nil},
		"/compressed?format=jpeg&quality=30":     {"jpeg", 640, 480, nil},
		"/compressed?format=JPG&scale=0.5&showCursor=true":                                  {"jpeg", 320, 240, "map[x:150 y:200]"},
		"/compressed?format=webp&scale=0.1":                                                 {"webp", 64, 48, nil},
		"/compressed?format=tiff":                                                           {"png", 640, 480, nil},
		"/region/compressed?x=639&y=479&width=1&height=1&scale=0.1&format=jpeg&quality=100": {"jpeg", 1, 1, nil},
	} {
		img, format, answer := s.look(query)
		cursor := answer["cursorPosition"]
		if cursor != nil {
			cursor = fmt.Sprint(cursor)
		}
		if format != want.format || img.Bounds().Dx() != want.width || img.Bounds().Dy() != want.height || cursor != want.cursor {
			t.Errorf("%s: %s of %v with the pointer at %v", query, format, img.Bounds(), cursor)
		}
	}
	plain, _, _ := s.look("")
	marked, _, _ := s.look("?showCursor=true")
	differ := 0
	for x := range 640 {
		for y := range 480 {
			if colour(plain, x, y) != colour(marked, x, y) {
				if differ++; x < 270 || x > 330 || y < 370 || y > 430 {
					t.Fatalf("the pointer is drawn at %d,%d", x, y)
				}
			}
		}
	}
	if differ == 0 {
		t.Error("the pointer is not drawn")
	}
	for _, bad := range []string{
		"?showCursor=maybe", "/region", "/region?x=0&y=0&width=0&height=5", "/region?x=0&y=0&width=-1&height=5", "/region?x=0&y=0&width=1.5&height=5",
		"/region?x=0&y=0&width=641&height=5", "/region?x=-1&y=0&width=5&height=5", "/region?x=0&y=0&width=99999999999999999999&height=5", "/region?x=9223372036854775807&y=0&width=5&height=5",
		"/compressed?quality=0", "/compressed?quality=101", "/compressed?quality=x", "/compressed?scale=0.05", "/compressed?scale=1.1", "/compressed?scale=NaN",
	} {
		s.refused("GET", "/computeruse/screenshot"+bad, nil, 400)
	}
}
