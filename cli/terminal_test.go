//go:build linux

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"
)

func TestWhatIsTypedWithoutTheCommandsInIt(t *testing.T) {
	for in, c := range map[string]struct {
		out   string
		leave bool
	}{
		"ls ~/x\r":      {"ls ~/x\r", false},
		"~/x\r":         {"~/x\r", false},
		"~~x\r~":        {"~x\r~", false},
		"a\r~.b":        {"a\r", true},
		"~.":            {"", true},
		"a~.\r":         {"a~.\r", false},
		"~\r~\x1b[A~~.": {"~\r~\x1b[A~~.", false},
	} {
		for name, r := range map[string]io.Reader{"at once": strings.NewReader(in), "key by key": iotest.OneByteReader(strings.NewReader(in))} {
			got, err := io.ReadAll(&escape{in: r, fresh: true})
			if string(got) != c.out || errors.Is(err, errLeave) != c.leave {
				t.Errorf("%q %s: %q, %v", in, name, got, err)
			}
		}
	}
}

func TestATerminalRunsWhatItReadsAndExitsAsTheShell(t *testing.T) {
	box(t)
	r := runWith(t, t.Context(), "echo $((6 * 7)) $PWD\nexit 3\n", "terminal", "web", "--cwd", "/usr")
	if r.code != 3 || !strings.Contains(r.out, "42 /usr\r\n") || r.err != "" {
		t.Errorf("%+v", r)
	}
	r = runWith(t, t.Context(), "echo end of inp''ut\n", "terminal", "web")
	if r.code != 0 || !strings.Contains(r.out, "end of input\r\n") {
		t.Errorf("%+v", r)
	}
	if r := run(t, "terminal", "none"); r.code != exitNotFound {
		t.Errorf("%+v", r)
	}
	if r := run(t, "terminal", "web", "--cwd", "/none"); r.code != exitFailed || !strings.Contains(r.err, "/none") {
		t.Errorf("%+v", r)
	}
}

// The user's side is a real terminal here.
func TestASessionIsLeftAndOpenedAgainInAnotherSize(t *testing.T) {
	box(t)
	user := newTeletype(t, 100, 30)
	ended := user.run("terminal", "web", "--session", "work")
	user.types("stty size; X=kept\r")
	user.waits("30 100\r\n")
	user.resize(90, 20)
	user.until("20 90", func() bool { // once the sandbox has been told of the size
		user.types("\rstty size\r")
		time.Sleep(200 * time.Millisecond)
		return user.out.take([]byte("20 90\r\n"))
	})
	user.types("~.")
	if code := <-ended; code != 0 {
		t.Errorf("left with %d", code)
	}
	user.waits("daytona terminal web --session work")
	before := user.settings()

	ended = user.run("terminal", "web", "--session", "work")
	user.types("\x03")
	user.types("echo $X; exit 4\r")
	user.waits("kept\r\n")
	if code := <-ended; code != 4 {
		t.Errorf("ended with %d", code)
	}
	if after := user.settings(); after != before {
		t.Errorf("the terminal's settings are not restored: %+v, %+v", after, before)
	}
}

func TestATerminalWithoutANameEndsWithTheCommand(t *testing.T) {
	box(t)
	user := newTeletype(t, 80, 24)
	ended := user.run("terminal", "web")
	program := fmt.Sprintf("sleep 1%d", os.Getpid()) // as no other test's
	user.types("echo re''ady; " + program + "\r")
	user.waits("ready\r\n")
	user.types("\r~.")
	if code := <-ended; code != 0 {
		t.Errorf("left with %d", code)
	}
	if r := run(t, "exec", "web", "--", "pgrep -x -c -f '"+program+"'"); strings.TrimSpace(r.out) != "0" {
		t.Errorf("it goes on: %+v", r)
	}
}

// teletype is a terminal and the person in front of it.
type teletype struct {
	*testing.T
	master, slave *os.File
	out           screen
}

func newTeletype(t *testing.T, cols, rows int) *teletype {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		t.Fatal(errno)
	}
	y := &teletype{T: t, master: os.NewFile(uintptr(fd), "master"), slave: os.NewFile(peer, "slave")}
	y.resize(cols, rows)
	t.Cleanup(func() {
		y.slave.Close()
		y.master.Close()
	})
	return y
}

func (y *teletype) run(args ...string) <-chan int {
	ended := make(chan int, 1)
	ctx, cancel := context.WithTimeout(y.Context(), time.Minute)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ended <- Main(ctx, Program{Args: args, In: y.slave, Out: &y.out, Err: &y.out})
	}()
	y.Cleanup(func() { // before its files are closed
		cancel()
		<-done
	})
	y.until("prompt", func() bool { return y.out.take(nil) })
	return ended
}

func (y *teletype) types(text string) {
	y.Helper()
	if _, err := y.master.WriteString(text); err != nil {
		y.Fatal(err)
	}
}

// resize is what a window does. Its kernel would tell the processes of the terminal's
// session, of which this test is none.
func (y *teletype) resize(cols, rows int) {
	y.Helper()
	if err := unix.IoctlSetWinsize(int(y.slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(cols), Row: uint16(rows)}); err != nil {
		y.Fatal(err)
	}
	if err := unix.Kill(os.Getpid(), unix.SIGWINCH); err != nil {
		y.Fatal(err)
	}
}

func (y *teletype) settings() unix.Termios {
	y.Helper()
	t, err := unix.IoctlGetTermios(int(y.slave.Fd()), unix.TCGETS)
	if err != nil {
		y.Fatal(err)
	}
	return *t
}

// waits takes what has come up to the text.
func (y *teletype) waits(text string) {
	y.Helper()
	y.until(text, func() bool { return y.out.take([]byte(text)) })
}

func (y *teletype) until(what string, ok func() bool) {
	y.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			y.Fatalf("no %q in %q", what, y.out.rest())
		}
	}
}

// screen is what has been shown and not been taken.
type screen struct {
	mu  sync.Mutex
	all []byte
}

// Write implements io.Writer.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, p...)
	return len(p), nil
}

func (s *screen) rest() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.all)
}

// take takes all up to the text, or for none anything that is there.
func (s *screen) take(text []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := bytes.Index(s.all, text)
	if i < 0 || len(s.all) == 0 {
		return false
	}
	s.all = s.all[i+len(text):]
	return true
}
