package pty

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// The programs write without a viewer, with one that reads all, and with one that
// does not read.
func TestAProgramThatWritesMuchDoesNotGrowTheAgent(t *testing.T) {
	s := newSandbox(t)
	const size = 32 << 20
	before := heap()
	s.create("alone", nil).conn.CloseNow()
	writer := s.open("/alone/connect")
	if err := writer.conn.Write(t.Context(), websocket.MessageBinary, fmt.Appendf(nil, "head -c %d /dev/zero; touch done\n", size)); err != nil {
		t.Fatal(err)
	}
	writer.conn.CloseNow()
	s.untilFile("done")

	c := s.open("/alone/connect")
	c.types(fmt.Sprintf("head -c %d /dev/zero; echo en''d\n", size))
	got, text := 0, ""
	for !strings.Contains(text, "end\r\n") {
		_, p, err := c.conn.Read(c.ctx)
		if err != nil {
			t.Fatal(err)
		}
		got += bytes.Count(p, []byte{0})
		text = text[max(0, len(text)-10):] + string(p)
	}
	if got < size || got > size+maxTail {
		t.Errorf("%d bytes came, want %d", got, size)
	}
	if after := heap(); after > before+8<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
}

func TestAViewerThatDoesNotReadIsClosedAndStallsNobody(t *testing.T) {
	s := newSandbox(t)
	good := s.create("x", nil)
	bad := s.open("/x/connect")
	start := time.Now()
	good.types("head -c 30000000 /dev/zero; echo en''d\n")
	good.waits("end\r\n$ ")
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	// It hears of it when it reads on.
	for {
		_, _, err := bad.conn.Read(bad.ctx)
		if err == nil {
			continue
		}
		var closed websocket.CloseError
		if !errors.As(err, &closed) || closed.Code != websocket.StatusPolicyViolation || closed.Reason != "slow consumer" {
			t.Errorf("closed by %v", err)
		}
		break
	}
	good.types("exit\n")
	good.ends(0, "")
}

func TestNoCharacterIsSplitOverMessages(t *testing.T) {
	s := newSandbox(t)
	c := s.create("x", nil)
	c.types("printf '\\360\\237'; printf '\\230\\200|'; for i in $(seq 3000); do printf 'äö€😀'; done; echo en''d\n")
	c.waits("end\r\n$ ")
	if out := c.output(); !strings.Contains(out, "😀|") || strings.Count(out, "äö€😀") < 3000 || !utf8.ValidString(out) {
		t.Errorf("%.100q", out)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, frame := range c.frames {
		if !utf8.Valid(frame) {
			t.Errorf("a message is %q", frame)
		}
	}
}

// A character that never ends is shown as it is.
func TestHalfACharacterIsNotKeptForEver(t *testing.T) {
	s := newSandbox(t)
	c := s.create("x", nil)
	c.types("printf '<\\360\\237'; sleep 1000\n")
	c.waits("<\xf0\x9f")
}

func TestPingsAreAnsweredWhileAProgramWritesAndWhileItIsSilent(t *testing.T) {
	s := newSandbox(t)
	c := s.create("x", nil)
	for _, program := range []struct{ command, shows string }{{"sh -c \"echo sil''ent; exec sleep 1000\"\n", "silent\r\n"}, {"cat /dev/zero\n", "\x00\x00\x00"}} {
		c.types(program.command)
		c.waits(program.shows)
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if err := c.conn.Ping(ctx); err != nil {
				t.Errorf("%q: %v", program.command, err)
			}
			cancel()
		}
		c.types("\x03")
		c.waits("^C\r\n$ ")
		c.mu.Lock()
		c.all = nil
		c.mu.Unlock()
	}
}

func TestInputThatIsNotReadWaitsAndIsNotLost(t *testing.T) {
	s := newSandbox(t)
	c := s.create("x", nil)
	c.types("stty raw -echo; echo re''ady; sleep 0.5; head -c 3000000 | cksum; stty sane\n")
	c.waits("ready")
	p := bytes.Repeat([]byte("0123456789"), 60000)
	for range 5 {
		c.types(string(p))
	}
	c.waits("802629297 3000000") // what cksum says of them
}

func TestAMessageThatIsTooLongClosesItsConnectionOnly(t *testing.T) {
	s := newSandbox(t)
	a := s.create("x", nil)
	b := s.connect("x")
	_ = b.conn.Write(b.ctx, websocket.MessageBinary, make([]byte, maxMessage+1))
	b.until("end", func() bool { return b.closed != nil })
	if status := websocket.CloseStatus(b.closed); status != websocket.StatusMessageTooBig {
		t.Errorf("closed by %v", b.closed)
	}
	a.types("echo st''ill\n")
	a.waits("still\r\n")
}

func TestATerminalThatEndsLeavesNothing(t *testing.T) {
	s := newSandbox(t)
	s.create("warm", nil).conn.CloseNow()
	before := runtime.NumGoroutine()
	for range 5 {
		c := s.create("x", nil)
		c.types("sleep 1000 & exit\n")
		c.ends(0, "")
	}
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+2; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
}

func TestTheOutputKeepsTheLastForViewersAtAnyPlace(t *testing.T) {
	o := &output{}
	var all []byte
	var readers []*viewer
	seen := map[*viewer][]byte{}
	from := map[*viewer]int{}
	buf := make([]byte, 1000)
	for i := range 3000 {
		p := bytes.Repeat([]byte{byte('a' + i%26)}, 1+i*7%500)
		_, _ = o.Write(p)
		all = append(all, p...)
		if i%500 == 100 {
			v, before := o.attach()
			readers = append(readers, v)
			seen[v] = before
			from[v] = len(all) - len(before)
			if v.at < o.end {
				from[v] = int(v.at)
			}
		}
		for _, v := range readers {
			for v.at < o.end {
				n, err := v.next(t.Context(), buf)
				if err != nil {
					t.Fatal(err)
				}
				seen[v] = append(seen[v], buf[:n]...)
			}
		}
	}
	o.close()
	for i, v := range readers {
		if _, err := v.next(t.Context(), buf); err != io.EOF {
			t.Errorf("viewer %d: %v", i, err)
		}
		if !bytes.Equal(seen[v], all[from[v]:]) {
			t.Errorf("viewer %d saw %d bytes, want %d", i, len(seen[v]), len(all)-from[v])
		}
	}
	if len(o.ring) > maxKept {
		t.Errorf("%d bytes are kept", len(o.ring))
	}
}

func TestTheTailShowsAndDoesNotAsk(t *testing.T) {
	for in, want := range map[string]string{
		"\x1b[31mred\x1b[0m \x1b]0;title\atext":                  "\x1b[31mred\x1b[0m \x1b]0;title\atext",
		"a\x1b[6nb\x1b[cc\x1b[>cd\x1b[?6ne\x1b[0ceh\x1bZ\x05":    "abcdeeh",
		"\x1b]11;?\x1b\\x\x1b]10;?\ay\x1b]52;c;?\az":             "xyz",
		"\x1bP+q544e\x1b\\1\x1bP$qm\x1b\\2\x1bPq#0sixel\x1b\\3":  "12\x1bPq#0sixel\x1b\\3",
		"\x1b[?2026$p\x1b[18t\x1b[>q\x1b[?uok\x1b[22;0t\x1b[2 q": "ok\x1b[22;0t\x1b[2 q",
		"\x1b_Gi=1,a=q;AAAA\x1b\\k\x1b_Gi=1,a=T;AAAA\x1b\\":      "k\x1b_Gi=1,a=T;AAAA\x1b\\",
		"\x1b[?1049h\x1b[1;5H\x1b(B\x1b=\x1b[?25l":               "\x1b[?1049h\x1b[1;5H\x1b(B\x1b=\x1b[?25l",
		"cut \x1b[12":                           "cut \x1b[12",
		"broken \x1b[1\x01c \x1b]0;\x1b[c \x1b": "broken \x1b[1\x01c \x1b]0; \x1b",
		"ä\x1b[6nö":                             "äö",
	} {
		if got := string(tail([]byte(in), true)); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"rest\nline\n": "line\n", "\x9f\x98\x80x": "x", "\xbf": "\xbf"} {
		if got := string(tail([]byte(in), false)); got != want {
			t.Errorf("%q begins as %q, want %q", in, got, want)
		}
	}
}

func FuzzTail(f *testing.F) {
	f.Add([]byte("a\x1b[6nb\x1b]11;?\x1b\\\x1bP+q\x1b\\"), true)
	f.Fuzz(func(t *testing.T, p []byte, all bool) {
		whole := bytes.Clone(p)
		got := tail(p, all)
		if len(got) > len(whole) {
			t.Fatalf("%q is %q", whole, got)
		}
	})
}
