package pty

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/opendaytona/daytona/internal/toolbox/launch/launchtest"
	"github.com/opendaytona/daytona/internal/toolbox/upgrade"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

func TestATerminalIsMadeAndUsedAsTheSDKsDo(t *testing.T) {
	s := newSandbox(t)
	c := s.create("one", map[string]string{"GREETING": "a=b c"})
	if got := c.conn.Subprotocol(); got != upgrade.ExitControl {
		t.Errorf("told the subprotocol %q", got)
	}
	all := s.sessions()
	if len(all) != 1 {
		t.Fatalf("%+v", all)
	}
	one := all[0]
	if one.ID != "one" || one.Cwd != s.home || !one.Active || one.LazyStart || one.Cols != 80 || one.Rows != 24 || time.Since(one.CreatedAt) > time.Minute ||
		len(one.Envs) != 2 || one.Envs["TERM"] != "xterm-256color" || one.Envs["GREETING"] != "a=b c" {
		t.Errorf("%+v", one)
	}
	c.types("echo \"<$GREETING>\" $TERM; id -u; pwd; tty; [ -t 0 ] && [ -O $(tty) ] && : >/dev/tty && echo mi''ne\n")
	c.waits("mine\r\n")
	for _, want := range []string{"\n<a=b c> xterm-256color\r\n", fmt.Sprintf("\n%d\r\n", launchtest.UserID()), "\n" + s.home + "\r\n", "\n/dev/pts/"} {
		if !strings.Contains(c.output(), want) {
			t.Errorf("no %q in %q", want, c.output())
		}
	}
	if got := do[info](s, 200, "POST", "/one/resize", body{"cols": 100, "rows": 30}); got.Cols != 100 || got.Rows != 30 || got.ID != "one" {
		t.Errorf("resized to %+v", got)
	}
	// Input comes in text messages too.
	if err := c.conn.Write(t.Context(), websocket.MessageText, []byte("stty size; exit 3\n")); err != nil {
		t.Fatal(err)
	}
	c.waits("30 100\r\n")
	c.ends(3, "non-zero exit")
	if all := s.sessions(); len(all) != 0 {
		t.Errorf("after the end: %+v", all)
	}
	s.fails(404, wire.ProcessNotFound, "GET", "/one", nil)
	s.fails(404, wire.ProcessNotFound, "DELETE", "/one", nil)
	s.fails(410, wire.SessionEnded, "POST", "/one/resize", body{"cols": 1, "rows": 1})
	c = s.create("one", nil) // the id is free
	c.types("exit\n")
	c.ends(0, "")
}

func TestTheOutputBeforeTheEndComesWhole(t *testing.T) {
	s := newSandbox(t)
	c := s.create("x", nil)
	c.types("exec sh -c 'seq 20000; exit 7'\n")
	c.ends(7, "non-zero exit")
	if !strings.HasSuffix(c.output(), "19999\r\n20000\r\n") {
		t.Errorf("it ends with %q", c.output()[max(0, len(c.output())-100):])
	}
}

func TestALazyTerminalStartsWithItsFirstViewer(t *testing.T) {
	s := newSandbox(t)
	mark := filepath.Join(s.home, "started")
	f, err := os.OpenFile(filepath.Join(s.home, ".bash_profile"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "touch %s\n", mark)
	f.Close()
	if got := do[struct{ SessionID string }](s, 201, "POST", "", body{"id": "l", "lazyStart": true, "cwd": "~", "envs": nil, "cols": nil}); got.SessionID != "l" {
		t.Errorf("%+v", got)
	}
	if one := do[info](s, 200, "GET", "/l", nil); one.Active || !one.LazyStart || one.Cwd != s.home {
		t.Errorf("%+v", one)
	}
	do[info](s, 200, "POST", "/l/resize", body{"cols": 33, "rows": 11})
	if _, err := os.Stat(mark); err == nil {
		t.Error("it has started")
	}
	c := s.connect("l")
	c.types("stty size\n")
	c.waits("11 33\r\n")
	if one := do[info](s, 200, "GET", "/l", nil); !one.Active {
		t.Errorf("%+v", one)
	}
	// One that never started ends too.
	do[any](s, 201, "POST", "", body{"id": "never", "lazyStart": true})
	do[any](s, 200, "DELETE", "/never", nil)
	s.fails(404, wire.ProcessNotFound, "GET", "/never", nil)
}

func TestWhatCannotBeMadeIsRefusedBeforeTheUpgrade(t *testing.T) {
	s := newSandbox(t)
	s.create("taken", nil)
	bad := upgrade.Variables
	for name, c := range map[string]struct {
		query  string
		envs   string
		status int
	}{
		"no id":            {"cols=80&rows=24", "", 400},
		"a slash":          {"id=a%2Fb", "", 400},
		"an id in use":     {"id=taken", "", 409},
		"a route's name":   {"id=create-connect", "", 400},
		"too many columns": {"id=x&cols=1001", "", 400},
		"far too many":     {"id=x&rows=99999999999999999999", "", 400},
		"negative":         {"id=x&rows=-1", "", 400},
		"no directory":     {"id=x&cwd=/none/here", "", 400},
		"a bad query":      {"id=%zz", "", 400},
		"no base64":        {"id=x", bad + "!", 400},
		"padding":          {"id=x", bad + "eyJBIjoiIn0=", 400},
		"no JSON":          {"id=x", bad + "AAAA", 400},
		"no strings":       {"id=x", bad + "eyJBIjoxfQ", 400},
		"a bad name":       {"id=x", bad + "eyJBLUIiOiIifQ", 400},
	} {
		var offered []string
		if c.envs != "" {
			offered = []string{upgrade.ExitControl, c.envs}
		}
		conn, res, err := websocket.Dial(t.Context(), s.url+"/create-connect?"+c.query, &websocket.DialOptions{Subprotocols: offered})
		if err == nil {
			conn.CloseNow()
		}
		if err == nil || res.StatusCode != c.status {
			t.Errorf("%s: %v, %v", name, res.Status, err)
		}
	}
	if all := s.sessions(); len(all) != 1 {
		t.Errorf("left: %+v", all)
	}
	// Sizes that are no numbers are none.
	c := s.open("/create-connect?id=y&cols=wide&rows=", upgrade.ExitControl)
	go c.read()
	c.waits("$ ")
	if one := do[info](s, 200, "GET", "/y", nil); one.Cols != 80 || one.Rows != 24 {
		t.Errorf("%+v", one)
	}
	s.fails(400, wire.BadRequest, "GET", "/create-connect?id=plain", nil)
	s.fails(404, wire.ProcessNotFound, "GET", "/plain", nil)
}

func TestBadRequestsAreRefused(t *testing.T) {
	s := newSandbox(t)
	do[any](s, 201, "POST", "", body{"id": "here", "lazyStart": true})
	s.fails(400, wire.InvalidRequestBody, "POST", "", "{")
	s.fails(400, wire.InvalidRequestBody, "POST", "", body{"id": "x", "cols": "wide"})
	s.fails(400, wire.InvalidRequestBody, "POST", "", body{"id": "x", "cols": 80.5})
	s.fails(400, wire.BadRequest, "POST", "", body{"cols": 80})
	s.fails(400, wire.BadRequest, "POST", "", body{"id": "x", "rows": 1001})
	s.fails(400, wire.BadRequest, "POST", "", body{"id": ".."})
	s.fails(400, wire.BadRequest, "POST", "", body{"id": strings.Repeat("x", 257)})
	s.fails(400, wire.BadRequest, "POST", "", body{"id": "x", "envs": body{"1A": "x"}})
	s.fails(400, wire.BadRequest, "POST", "", body{"id": "x", "envs": body{"A": "x\x00y"}})
	s.fails(400, wire.BadRequest, "POST", "", body{"id": "x", "cwd": "/none/here"})
	s.fails(409, wire.Conflict, "POST", "", body{"id": "here"})
	s.fails(400, wire.BadRequest, "POST", "/here/resize", body{"cols": 0, "rows": 10})
	s.fails(400, wire.BadRequest, "POST", "/here/resize", body{"cols": 10})
	s.fails(400, wire.BadRequest, "POST", "/here/resize", body{"cols": 10, "rows": 1001})
	s.fails(410, wire.SessionEnded, "POST", "/none/resize", body{"cols": 10, "rows": 10})
	s.fails(400, wire.BadRequest, "GET", "/here/connect", nil)
}

func TestAConnectionToNoTerminalIsToldSo(t *testing.T) {
	s := newSandbox(t)
	c := s.connect("none")
	c.until("end", func() bool { return c.closed != nil })
	if len(c.said) != 1 || !strings.HasPrefix(c.said[0], `{"type":"control","status":"error","error":"terminal \"none\" does not exist`) || websocket.CloseStatus(c.closed) != websocket.StatusInternalError {
		t.Errorf("%q, %v", c.said, c.closed)
	}
}

func TestOnlyWhoKnowsTheExitMessageGetsIt(t *testing.T) {
	s := newSandbox(t)
	s.create("x", nil)
	c := s.open("/x/connect")
	go c.read()
	c.types("exit 130\n")
	c.until("end", func() bool { return c.closed != nil })
	var closed websocket.CloseError
	if len(c.said) != 1 || !errors.As(c.closed, &closed) || closed.Reason != `{"exitCode":130,"exitReason":"Ctrl+C"}` {
		t.Errorf("%q, %v", c.said, c.closed)
	}
}

func TestViewersSeeTheSameAndShareTheInput(t *testing.T) {
	s := newSandbox(t)
	a := s.create("x", nil)
	b := s.connect("x")
	b.waits("$ ") // what was there before
	a.types("echo fr''om a\n")
	b.waits("from a\r\n$ ")
	b.types("echo fr''om b\n")
	a.waits("from b\r\n$ ")
	a.conn.Close(websocket.StatusNormalClosure, "")
	b.types("seq 30000; exit\n")
	b.ends(0, "")
	if got := strings.Count(b.output(), "\n"); got < 30000 || got > 30010 {
		t.Errorf("%d lines", got)
	}
}

func TestWhoComesBackSeesTheEndOfWhatWasThere(t *testing.T) {
	s := newSandbox(t)
	a := s.create("x", nil)
	a.types("seq -f 'line %05g' 20000; printf '\\033[6n\\033[cla''st\\n'\n")
	a.waits("last\r\n$ ")
	a.conn.CloseNow()
	b := s.connect("x")
	b.waits("last\r\n$ ")
	got := b.output()
	if len(got) > maxTail || len(got) < maxTail/2 || !strings.HasPrefix(got, "line ") || !strings.Contains(got, "line 19999\r\nline 20000\r\n") {
		t.Errorf("%d bytes: %.40q…", len(got), got)
	}
	if strings.Contains(got, "\x1b[6n") || !strings.Contains(a.output(), "\x1b[6n\x1b[c") {
		t.Error("questions to the terminal are asked again")
	}
}

func TestDeletingATerminalEndsAllThatItStarted(t *testing.T) {
	s := newSandbox(t)
	c := s.create("x", nil)
	c.types("nohup sleep 1000 & (trap '' HUP TERM; sleep 1000) & sleep 1000 & echo pids $(jobs -p) en''d; vi''m.tiny\n")
	c.waits("end\r\n")
	_, list, _ := strings.Cut(c.output(), "\npids ")
	pids := strings.Fields(strings.SplitN(list, "end", 2)[0])
	if len(pids) != 3 {
		t.Fatalf("jobs %q", pids)
	}
	do[struct{ Message string }](s, 200, "DELETE", "/x", nil)
	c.ends(137, "SIGKILL")
	for _, pid := range pids {
		if state, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil && !strings.Contains(string(state), ") Z ") {
			t.Errorf("process %s runs: %s", pid, state)
		}
	}
	s.fails(404, wire.ProcessNotFound, "GET", "/x", nil)
}

func TestSoManyTerminalsAndViewersAtOnce(t *testing.T) {
	s := newSandbox(t)
	for i := range maxTerminals {
		do[any](s, 201, "POST", "", body{"id": fmt.Sprint(i), "lazyStart": true})
	}
	s.fails(409, wire.Conflict, "POST", "", body{"id": "more", "lazyStart": true})
	all := s.sessions()
	if len(all) != maxTerminals || !slices.IsSortedFunc(all, func(a, b info) int { return a.CreatedAt.Compare(b.CreatedAt) }) {
		t.Errorf("%d terminals, %+v", len(all), all)
	}
	for range maxViewers {
		s.connect("0").waits("$ ")
	}
	c := s.connect("0")
	c.until("end", func() bool { return c.closed != nil })
	if len(c.said) != 1 || !strings.Contains(c.said[0], "maximum of 64 connections") {
		t.Errorf("%q", c.said)
	}
}
