package pty

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hinshun/vt10x"
)

// screen is a terminal emulator at the viewer's end, which answers what programs
// ask.
type screen struct {
	*client
	vt vt10x.Terminal
	at int
}

func (s *sandbox) screen(id string, envs map[string]string) *screen {
	s.t.Helper()
	c := s.create(id, envs)
	return &screen{client: c, vt: vt10x.New(vt10x.WithWriter(answers{c}), vt10x.WithSize(80, 24))}
}

// answers types what the emulator has to say.
type answers struct{ *client }

func (a answers) Write(p []byte) (int, error) {
	a.types(string(p))
	return len(p), nil
}

// shows waits until the screen has the text.
func (s *screen) shows(text string) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		s.mu.Lock()
		news := s.all[s.at:]
		s.at = len(s.all)
		s.mu.Unlock()
		_, _ = s.vt.Write(news)
		if strings.Contains(s.vt.String(), text) {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("the screen does not show %q:\n%s\nafter %q", text, s.vt.String(), s.output())
		}
	}
}

// resize is what a client does when its window changes.
func (s *screen) resize(box *sandbox, id string, cols, rows int) {
	do[info](box, 200, "POST", "/"+id+"/resize", size{cols, rows})
	s.vt.Resize(cols, rows)
}

func (s *sandbox) untilFile(name string) string {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if b, err := os.ReadFile(filepath.Join(s.home, name)); err == nil {
			return string(b)
		}
		if time.Now().After(end) {
			s.t.Fatalf("there is no file %s", name)
		}
	}
}

func TestVimEditsAFile(t *testing.T) {
	s := newSandbox(t)
	c := s.screen("x", nil)
	c.types("vim.tiny -u NONE -N file; echo en''d\r")
	c.shows(`"file" [New]`)
	c.types("iüber first\rsecond\x1b")
	c.shows("über first ")
	c.shows("\nsecond ")
	c.resize(s, "x", 60, 10)
	c.waits("~" + strings.Repeat(" ", 59) + "\x1b[9;1H") // it has drawn itself in the new size
	c.types(":set columns? lines?\r")
	c.shows("columns=60")
	c.shows("lines=10")
	c.types("\r")
	c.types(":wq\r")
	c.shows("end")
	if got := s.untilFile("file"); got != "über first\nsecond\n" {
		t.Errorf("the file has %q", got)
	}
}

func TestHtopDrawsItself(t *testing.T) {
	s := newSandbox(t)
	c := s.screen("x", nil)
	c.types("htop; echo en''d\r")
	c.shows("Load average")
	c.shows("F10Quit")
	c.types("q")
	c.shows("end")
}

func TestTmuxOutlivesTheTerminalAndIsAttachedAgain(t *testing.T) {
	s := newSandbox(t)
	tmux := "tmux -L t -f /dev/null "
	a := s.screen("a", nil)
	defer func() {
		c := s.create("end", nil)
		c.types(tmux + "kill-server; exit\n")
		c.ends(0, "")
	}()
	a.types(tmux + "new -s main 'echo äöü insi''de; exec cat'\r")
	a.shows("äöü inside")
	a.shows("[main]")
	do[any](s, 200, "DELETE", "/a", nil)
	b := s.screen("b", nil)
	b.types(tmux + "attach -t main\r")
	b.shows("äöü inside")
	b.types("\x02d")
	b.shows("[detached")
}

func TestAPasswordIsNotShown(t *testing.T) {
	s := newSandbox(t)
	c := s.create("x", nil)
	c.types("read -s -p 'Pass''word: ' p; echo; echo \"le''ngth ${#p}\"\n")
	c.waits("Password: ")
	c.types("s3cret\n")
	c.waits("ngth 6")
	if strings.Contains(c.output(), "s3cret") {
		t.Errorf("%q", c.output())
	}
}

func TestErasingRemovesACharacterAndInterruptsReachTheProgram(t *testing.T) {
	s := newSandbox(t)
	c := s.create("x", nil)
	c.types("sh -c \"echo rea''dy; exec cat >out\"\n")
	c.waits("ready\r\n")
	c.types("a€\x7fb\n\x04")
	c.types("sh -c \"echo asl''eep; exec sleep 1000\"\n")
	c.waits("asleep\r\n")
	c.types("\x03")
	c.waits("^C\r\n$ ")
	c.types("echo co''de $?\n")
	c.waits("code 130\r\n")
	if got := s.untilFile("out"); got != "ab\n" {
		t.Errorf("cat got %q", got)
	}
}
