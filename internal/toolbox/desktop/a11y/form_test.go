package a11y

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// result is the text of the form's label.
func (c *client) result(pid int) string {
	c.t.Helper()
	a := c.ask(http.StatusOK, http.MethodPost, "/find", fields{"pid": pid, "role": "label"})
	if len(a.Matches) != 1 {
		c.t.Fatalf("labels %+v", a.Matches)
	}
	return a.Matches[0].Name
}

func (c *client) set(node *Node, value string) {
	c.t.Helper()
	c.ask(http.StatusOK, http.MethodPost, "/node/value", fields{"id": node.ID, "value": value})
}

func (c *client) invoke(node *Node) {
	c.t.Helper()
	c.ask(http.StatusOK, http.MethodPost, "/node/invoke", fields{"id": node.ID})
}

func TestAFormIsFilledInThroughTheTree(t *testing.T) {
	c := newClient(t)
	pid := c.run().Pid
	c.set(c.one(pid, "text", "Your name"), "Ada Łovelace 漢字 🎉")
	c.set(c.one(pid, "password text", "Password"), "old")
	c.set(c.one(pid, "password text", "Password"), "secret")
	c.set(c.one(pid, "spin button", "Age"), "36")
	c.set(c.one(pid, "slider", "Volume"), "-2.5")
	c.ask(http.StatusOK, http.MethodPost, "/node/invoke", fields{"id": c.one(pid, "check box", "Agree").ID, "action": "click"})
	c.invoke(c.one(pid, "button", "Submit"))
	want := "Hello Ada Łovelace 漢字 🎉, 36, -2.5, True, secret"
	eventually(t, want, func() bool { return c.result(pid) == want })
	if states := c.one(pid, "check box", "Agree").States; !slices.Contains(states, "checked") {
		t.Errorf("the check box has the states %v", states)
	}
	c.set(c.one(pid, "text", "Your name"), "")
	c.invoke(c.one(pid, "Push-Button", "Submit"))
	eventually(t, "an empty name", func() bool { return strings.HasPrefix(c.result(pid), "Hello , 36") })
}

func TestTheTreeHasWhatIsOnTheScreen(t *testing.T) {
	c := newClient(t)
	pid := c.run().Pid
	top := c.tree(fmt.Sprint("scope=pid&pid=", pid)).Root
	if top.Role != "application" || top.Name != "form.py" || len(top.Children) != 1 {
		t.Fatalf("%+v", top)
	}
	frame := top.Children[0]
	if frame.Role != "frame" || frame.Name != "Form" || frame.Bounds == nil || frame.Bounds.Width < 50 || frame.Bounds.Height < 100 {
		t.Fatalf("%+v %+v", frame, frame.Bounds)
	}
	var names []string
	last := int32(-1)
	for _, n := range frame.Children[0].Children {
		names = append(names, n.Role+" "+n.Name)
		if n.Bounds == nil || n.Bounds.Y <= last || n.Bounds.Height <= 0 {
			t.Errorf("%s is at %+v, after y %d", n.Name, n.Bounds, last)
			continue
		}
		last = n.Bounds.Y
	}
	want := []string{
		"text Your name", "text Fixed", "password text Password", "spin button Age", "slider Volume",
		"check box Agree", "push button Disabled", "label nothing yet", "push button Submit", "push button Ask", "push button Wait",
	}
	if !slices.Equal(names, want) {
		t.Errorf("nodes %q, want %q", names, want)
	}
	for depth, nodes := range map[int]int{0: 1, 1: 2, 2: 3, 3: 14, -1: 14, 1000: 14} {
		a := c.tree(fmt.Sprintf("scope=pid&pid=%d&maxDepth=%d", pid, depth))
		if n := count(a.Root); n != nodes || a.Truncated {
			t.Errorf("depth %d: %d nodes, truncated %v", depth, n, a.Truncated)
		}
	}
}

func TestAllScopesBeginWhereTheySay(t *testing.T) {
	c := newClient(t)
	first, second := c.run().Pid, c.run().Pid
	all := c.tree("scope=all&maxDepth=1").Root
	if all.Role != "desktop frame" || len(all.Children) != 2 {
		t.Fatalf("%+v", all)
	}
	for i, pid := range []int{first, second} {
		if id := c.tree(fmt.Sprintf("scope=pid&maxDepth=0&pid=%d", pid)).Root.ID; id != all.Children[i].ID {
			t.Errorf("process %d is %s, in the list it is %s", pid, id, all.Children[i].ID)
		}
		entry := c.one(pid, "text", "Your name")
		c.ask(http.StatusOK, http.MethodPost, "/node/focus", fields{"id": entry.ID})
		eventually(t, "the focus of the entry", func() bool { return slices.Contains(c.one(pid, "text", "Your name").States, "focused") })
		for _, query := range []string{"", "scope=focused"} {
			if id := c.tree(query + "&maxDepth=0").Root.ID; id != all.Children[i].ID {
				t.Errorf("%q: the program in front is %s, want %s", query, id, all.Children[i].ID)
			}
		}
		a := c.ask(http.StatusOK, http.MethodPost, "/find", fields{"states": []string{"focused", "Single-Line"}})
		if len(a.Matches) != 1 || a.Matches[0].ID != entry.ID {
			t.Errorf("what has the focus: %+v", a.Matches)
		}
	}
}

func TestFindFilters(t *testing.T) {
	c := newClient(t)
	pid := c.run("8").Pid
	for _, f := range []struct {
		filter fields
		want   int
		cut    bool
	}{
		{fields{"name": "label"}, 500, true},
		{fields{"name": "label", "limit": 0}, 500, true},
		{fields{"name": "label", "limit": 9000}, 800, false},
		{fields{"name": "label", "limit": 800}, 800, false},
		{fields{"name": "label", "limit": 799}, 799, true},
		{fields{"name": "label 3.7"}, 11, false},
		{fields{"name": "label 3.7", "nameMatch": "exact"}, 1, false},
		{fields{"name": `^label [0-3]\.(1|99)$`, "nameMatch": "regex"}, 8, false},
		{fields{"name": "LABEL"}, 0, false},
		{fields{"role": "BUTTON"}, 4, false},
		{fields{"role": "button", "states": []string{"enabled"}}, 3, false},
		{fields{"role": "button", "name": "Sub", "nameMatch": "substring"}, 1, false},
		{fields{"role": "no such role"}, 0, false},
		{fields{"role": nil, "name": nil, "nameMatch": nil, "states": nil, "limit": nil}, 500, true},
	} {
		f.filter["scope"], f.filter["pid"] = "pid", pid
		a := c.ask(http.StatusOK, http.MethodPost, "/find", f.filter)
		if len(a.Matches) != f.want || a.Truncated != f.cut || a.Matches == nil {
			t.Errorf("%v: %d nodes, truncated %v; want %d, %v", f.filter, len(a.Matches), a.Truncated, f.want, f.cut)
		}
	}
	a := c.ask(http.StatusOK, http.MethodPost, "/find", fields{"pid": pid, "name": "label", "limit": 3})
	for i, n := range a.Matches {
		if want := fmt.Sprint("label 0.", i); n.Name != want || n.Role != "label" || n.Bounds == nil {
			t.Errorf("match %d is %+v, want %s", i, n, want)
		}
	}
}

func TestWhatCannotBeDoneIsRefused(t *testing.T) {
	c := newClient(t)
	pid := c.run().Pid
	entry, fixed := c.one(pid, "text", "Your name").ID, c.one(pid, "text", "Fixed").ID
	disabled, submit := c.one(pid, "button", "Disabled").ID, c.one(pid, "button", "Submit").ID
	slider, label := c.one(pid, "slider", "Volume").ID, c.one(pid, "label", "nothing yet").ID
	bus, _, _ := strings.Cut(entry[1:], ":")
	bus = ":" + bus
	for _, r := range []struct {
		path   string
		body   any
		status int
		says   string
	}{
		{"/node/value", fields{"id": fixed, "value": "x"}, 400, "not editable"},
		{"/node/value", fields{"id": label, "value": "x"}, 400, "neither a text nor a number"},
		{"/node/value", fields{"id": slider, "value": "loud"}, 400, "is a number"},
		{"/node/value", fields{"id": slider, "value": ""}, 400, "is a number"},
		{"/node/value", fields{"id": slider, "value": "NaN"}, 400, "is a number"},
		{"/node/value", fields{"id": slider, "value": "-Inf"}, 400, "is a number"},
		{"/node/value", fields{"id": slider, "value": "10.5"}, 400, "from -10 to 10"},
		{"/node/value", fields{"id": entry}, 400, "value is missing"},
		{"/node/value", fields{"id": entry, "value": "a\x00b"}, 400, "NUL"},
		{"/node/value", fields{"id": entry, "value": 5}, 400, "must be a string"},
		{"/node/invoke", fields{"id": disabled}, 400, "disabled"},
		{"/node/invoke", fields{"id": label}, 400, "no actions"},
		{"/node/invoke", fields{"id": submit, "action": "explode"}, 400, "only Click"},
		{"/node/focus", fields{"id": disabled}, 400, "disabled"},
		{"/node/focus", fields{"id": label}, 400, "focusable"},
		{"/node/focus", fields{"id": bus + ":/org/a11y/atspi/accessible/99999"}, 404, "no node"},
		{"/node/focus", fields{"id": bus + ":/"}, 404, "no node"},
		{"/node/focus", fields{"id": ":1.99999:/org/a11y/atspi/accessible/1"}, 404, "no node"},
		{"/node/focus", fields{"id": "com.example.None:/a"}, 404, "no node"},
		{"/node/focus", fields{"id": "org.freedesktop.DBus:/org/freedesktop/DBus"}, 404, "no node"},
		{"/node/focus", fields{"id": ""}, 400, "not the id"},
		{"/node/focus", fields{}, 400, "not the id"},
		{"/node/focus", fields{"id": bus}, 400, "not the id"},
		{"/node/focus", fields{"id": bus + ":/org//x"}, 400, "not the id"},
		{"/node/focus", fields{"id": bus + ":/org/é"}, 400, "not the id"},
		{"/node/focus", fields{"id": ":/org/a"}, 400, "not the id"},
		{"/node/focus", fields{"id": "nodots:/org/a"}, 400, "not the id"},
		{"/node/focus", fields{"id": ":1.5\n:/org/a"}, 400, "not the id"},
		{"/node/focus", fields{"id": strings.Repeat("x.y", 100_000) + ":/a"}, 400, "not the id"},
		{"/node/focus", fields{"id": ":1.5:/" + strings.Repeat("x", 100_000)}, 400, "not the id"},
		{"/node/focus", fields{"id": 5}, 400, "must be a string"},
		{"/find", fields{"scope": "desktop"}, 400, "focused, pid or all"},
		{"/find", fields{"scope": "pid"}, 400, "positive"},
		{"/find", fields{"scope": "pid", "pid": -1}, 400, "positive"},
		{"/find", fields{"pid": 999_999_999}, 404, "999999999"},
		{"/find", fields{"scope": "all", "pid": pid}, 400, "scope pid"},
		{"/find", fields{"limit": -1}, 400, "positive"},
		{"/find", fields{"nameMatch": "glob"}, 400, "exact"},
		{"/find", fields{"nameMatch": "regex", "name": "("}, 400, "regular expression"},
		{"/find", fields{"nameMatch": "regex", "name": strings.Repeat("a", 5000)}, 400, "longer"},
		{"/find", fields{"states": []string{"focussed"}}, 400, "no state"},
		{"/find", fields{"states": "focused"}, 400, "array"},
		{"/find", []int{}, 400, "JSON object"},
	} {
		if a := c.ask(r.status, http.MethodPost, r.path, r.body); !strings.Contains(a.Message, r.says) || a.Code == "" {
			t.Errorf("%s %.100v: %s %q, want %q", r.path, r.body, a.Code, a.Message, r.says)
		}
	}
	for query, says := range map[string]string{
		"scope=x": "focused, pid or all", "scope=pid": "positive", "pid=x": "integer", "maxDepth=-2": "maxDepth", "maxDepth=1.5": "integer",
		"scope=pid&pid=99999999999999999999": "integer", "scope=focused&pid=1": "scope pid",
	} {
		if a := c.ask(http.StatusBadRequest, http.MethodGet, "/tree?"+query, nil); !strings.Contains(a.Message, says) {
			t.Errorf("%s: %q, want %q", query, a.Message, says)
		}
	}
	if got := c.result(pid); got != "nothing yet" {
		t.Errorf("the form says %q", got)
	}
}

func TestADialogIsAnswered(t *testing.T) {
	c := newClient(t)
	pid := c.run().Pid
	c.invoke(c.one(pid, "button", "Ask"))
	var ok *Node
	eventually(t, "the dialog", func() bool {
		a := c.ask(http.StatusOK, http.MethodPost, "/find", fields{"pid": pid, "role": "button", "name": "OK", "states": []string{"showing"}})
		if len(a.Matches) == 1 {
			ok = a.Matches[0]
		}
		return ok != nil
	})
	c.invoke(ok)
	eventually(t, "the answer", func() bool { return c.result(pid) == "answered" })
}

func TestAnActionThatWaitsForADialogIsDone(t *testing.T) {
	c := newClient(t)
	pid := c.run().Pid
	wait := c.one(pid, "button", "Wait")
	begun := time.Now()
	c.invoke(wait)
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	// GTK 3 answers nothing until somebody closes the dialog.
	c.ask(http.StatusServiceUnavailable, http.MethodGet, fmt.Sprint("/tree?scope=pid&pid=", pid), nil)
}

func TestANodeOfAProgramThatEndedIsGone(t *testing.T) {
	c := newClient(t)
	p := c.run()
	entry := c.one(p.Pid, "text", "Your name").ID
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the program's end", func() bool {
		return c.send(t.Context(), http.MethodGet, fmt.Sprint("/tree?scope=pid&pid=", p.Pid), nil).Code == http.StatusNotFound
	})
	for _, path := range []string{"/node/focus", "/node/invoke", "/node/value"} {
		if a := c.ask(http.StatusNotFound, http.MethodPost, path, fields{"id": entry, "value": "x"}); a.Code != "NOT_FOUND" {
			t.Errorf("%s: %s %s", path, a.Code, a.Message)
		}
	}
	if a := c.ask(http.StatusNotFound, http.MethodGet, "/tree", nil); !strings.Contains(a.Message, "no program") {
		t.Errorf("%s", a.Message)
	}
	if all := c.tree("scope=all").Root; len(all.Children) != 0 {
		t.Errorf("%+v", all)
	}
}

func TestTheCacheTellsWhatTheProgramDoes(t *testing.T) {
	c := newClient(t)
	p := c.run("3")
	s := New(c.desktop.address)
	t.Cleanup(s.Close)
	look := func(slow bool) (*entry, *walk) {
		w, err := s.walk(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.end)
		root, err := w.root(scope{pid: p.Pid})
		if err != nil {
			t.Fatal(err)
		}
		if slow {
			w.conn.slow.Store(root.bus, true)
		}
		top, err := w.run(root, -1)
		if err != nil {
			t.Fatal(err)
		}
		return top, w
	}
	var cached *entry
	eventually(t, "the cache has all", func() bool {
		cached, _ = look(false)
		return !slices.ContainsFunc(preorder(cached), func(e *entry) bool { return !e.isCached })
	})
	asked, w := look(true)
	a, b := preorder(cached), preorder(asked)
	if len(a) != len(b) || len(a) < 300 {
		t.Fatalf("%d nodes by the cache, %d without", len(a), len(b))
	}
	for i := range a {
		if b[i].isCached || fmt.Sprint(a[i].node, a[i].interfaces) != fmt.Sprint(b[i].node, b[i].interfaces) {
			t.Errorf("by the cache %+v, without %+v", a[i].node, b[i].node)
		}
		if i%20 == 0 { // the table of roles is the program's own
			var role string
			if err := w.program(b[i].bus).call(b[i].path, accessible+".GetRoleName").Store(&role); err != nil || role != b[i].node.Role {
				t.Errorf("role %q, want %q, error %v", b[i].node.Role, role, err)
			}
		}
	}
}

func TestAProgramThatHangsIsLeftOutInTime(t *testing.T) {
	c := newClient(t)
	good, hung := c.run().Pid, c.run()
	button := c.one(hung.Pid, "button", "Submit").ID
	if err := hung.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hung.Signal(syscall.SIGCONT) }()
	timed := func(what string, f func()) {
		t.Helper()
		begun := time.Now()
		f()
		if took := time.Since(begun); took > 3*testSilence {
			t.Errorf("%s took %v", what, took)
		}
	}
	timed("all", func() {
		a := c.tree("scope=all")
		if !a.Truncated || len(a.Root.Children) != 2 || count(a.Root.Children[0]) != 14 || a.Root.Children[1].Name != "" || a.Root.Children[1].ID == "" {
			t.Errorf("%+v", a)
		}
	})
	timed("find", func() {
		a := c.ask(http.StatusOK, http.MethodPost, "/find", fields{"scope": "all", "name": "Submit"})
		if len(a.Matches) != 1 || !a.Truncated {
			t.Errorf("%+v", a)
		}
	})
	timed("the one in front", func() {
		if a := c.tree("maxDepth=0"); a.Root.ID != c.tree(fmt.Sprint("maxDepth=0&scope=pid&pid=", good)).Root.ID {
			t.Errorf("%+v", a.Root)
		}
	})
	timed("the one that hangs", func() {
		if a := c.ask(503, http.MethodGet, fmt.Sprint("/tree?scope=pid&pid=", hung.Pid), nil); a.Code != "A11Y_UNAVAILABLE" {
			t.Errorf("%+v", a)
		}
	})
	timed("its button", func() {
		if a := c.ask(503, http.MethodPost, "/node/invoke", fields{"id": button}); a.Code != "A11Y_UNAVAILABLE" {
			t.Errorf("%+v", a)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if w := c.send(ctx, http.MethodGet, "/tree?scope=all", nil); w.Code != http.StatusRequestTimeout || time.Since(begun) > 2*time.Second {
		t.Errorf("a client that went away: %d after %v", w.Code, time.Since(begun))
	}
	if err := hung.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is back", func() bool {
		a := c.tree("scope=all")
		return len(a.Root.Children) == 2 && count(a.Root.Children[1]) == 14
	})
}

func TestWithoutABusTheTreeIsUnavailable(t *testing.T) {
	for name, address := range map[string]string{
		"none": "", "no socket": "unix:path=/nonexistent/bus", "no address": "nonsense", "no path": "unix:guid=1", "bad escape": "unix:path=%zz",
	} {
		mux := http.NewServeMux()
		New(address).Register(mux)
		c := &client{t: t, http: mux}
		for _, r := range [][2]string{{"GET", "/tree"}, {"POST", "/find"}, {"POST", "/node/focus"}} {
			a := c.ask(http.StatusServiceUnavailable, r[0], r[1], fields{"id": ":1.1:/a"})
			if a.Code != "A11Y_UNAVAILABLE" || !strings.Contains(a.Message, "at-spi2-core") {
				t.Errorf("%s, %s: %+v", name, r[1], a)
			}
		}
	}
}

func TestTheConnectionIsOpenedAnewAfterTheBusEnded(t *testing.T) {
	c := newClient(t)
	s := New(c.desktop.address)
	t.Cleanup(s.Close)
	first, err := s.buses.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	second, err := s.buses.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !second.Connected() || second == first {
		t.Error("it is the old one")
	}
	var names []string
	if err := second.BusObject().Call("org.freedesktop.DBus.ListNames", 0).Store(&names); err != nil || !slices.Contains(names, registry) {
		t.Errorf("names %v, error %v", names, err)
	}
}
