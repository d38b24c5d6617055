package a11y

import (
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// hostile is a program on the accessibility bus that says what it likes. Its
// nodes have numbers for names; 0 is its root.
type hostile struct {
	conn      *dbus.Conn
	children  func(n int) []int
	name      func(n int) string
	elsewhere func(n int) (bus string, path dbus.ObjectPath) // of a child, nil is here
}

const hostilePath = "/org/a11y/atspi/accessible/"

func (h *hostile) path(n int) dbus.ObjectPath {
	if n == 0 {
		return rootPath
	}
	return dbus.ObjectPath(hostilePath + strconv.Itoa(n))
}

func numberOf(m dbus.Message) int {
	path, _ := m.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	n, _ := strconv.Atoi(strings.TrimPrefix(string(path), hostilePath))
	return n
}

type place struct {
	Bus  string
	Path dbus.ObjectPath
}

func (h *hostile) place(n int) place {
	if h.elsewhere != nil {
		if bus, path := h.elsewhere(n); path != "" {
			return place{bus, path}
		}
	}
	return place{h.conn.Names()[0], h.path(n)}
}

func (h *hostile) GetChildren(m dbus.Message) ([]place, *dbus.Error) {
	all := []place{}
	for _, n := range h.children(numberOf(m)) {
		all = append(all, h.place(n))
	}
	return all, nil
}

func (h *hostile) GetChildAtIndex(m dbus.Message, i int32) (place, *dbus.Error) {
	return h.place(h.children(numberOf(m))[i]), nil
}

func (h *hostile) GetRole(dbus.Message) (uint32, *dbus.Error)     { return 4_000_000_000, nil }
func (h *hostile) GetRoleName(dbus.Message) (string, *dbus.Error) { return "thing", nil }
func (h *hostile) GetState(dbus.Message) ([]uint32, *dbus.Error) {
	return []uint32{1<<25 | 1<<31, 7}, nil
}
func (h *hostile) GetInterfaces(dbus.Message) ([]string, *dbus.Error) {
	return []string{accessible}, nil
}

// Get is of the interface of properties.
func (h *hostile) Get(m dbus.Message, _, name string) (dbus.Variant, *dbus.Error) {
	switch name {
	case "ChildCount":
		return dbus.MakeVariant(int32(len(h.children(numberOf(m))))), nil
	case "Name":
		return dbus.MakeVariant(h.name(numberOf(m))), nil
	}
	return dbus.MakeVariant(""), nil
}

// join puts a program on the bus and among those of the registry.
func (c *client) join(h *hostile) (root ref) {
	c.t.Helper()
	conn, err := open(c.t.Context(), c.desktop.address)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	h.conn = conn
	if h.name == nil {
		h.name = func(n int) string { return fmt.Sprint("node ", n) }
	}
	for _, iface := range []string{accessible, properties} {
		if err := conn.ExportSubtree(h, "/org/a11y/atspi/accessible", iface); err != nil {
			c.t.Fatal(err)
		}
	}
	self := place{conn.Names()[0], rootPath}
	if err := conn.Object(registry, rootPath).Call("org.a11y.atspi.Socket.Embed", 0, self).Err; err != nil {
		c.t.Fatal(err)
	}
	return ref{self.Bus, self.Path}
}

// alone is the tree of a program that is the only one.
func (c *client) alone() answer {
	c.t.Helper()
	return c.tree("scope=focused")
}

func TestATreeWithCyclesIsWalkedOnce(t *testing.T) {
	c := newClient(t)
	c.join(&hostile{children: func(n int) []int { return []int{(n + 1) % 5, (n + 2) % 5, n, 0} }})
	a := c.alone()
	if n := count(a.Root); n != 5 || a.Truncated {
		t.Errorf("%d nodes, truncated %v", n, a.Truncated)
	}
	if a.Root.Role != "thing" || a.Root.Name != "node 0" || strings.Join(a.Root.States, " ") != "showing manages_descendants indeterminate required truncated" {
		t.Errorf("%+v", a.Root)
	}
}

func TestATreeWithoutBottomIsCutOff(t *testing.T) {
	c := newClient(t)
	c.join(&hostile{children: func(n int) []int { return []int{n + 1} }})
	a := c.alone()
	if n := count(a.Root); n != maxDepth+1 || !a.Truncated {
		t.Errorf("%d nodes, truncated %v", n, a.Truncated)
	}
}

// flat has 30,000 children of its root, rows has as many in rows of 100.
func flat(n int) []int {
	if n != 0 {
		return nil
	}
	return upTo(1, 30_001)
}

func rows(n int) []int {
	switch {
	case n == 0:
		return upTo(1, 301)
	case n <= 300:
		return upTo(1000*n, 1000*n+100)
	}
	return nil
}

type oldRow struct {
	At, Program, Parent place
	Children            []place
	Interfaces          []string
	Name                string
	Role                uint32
	Description         string
	States              []uint32
}

type newRow struct {
	At, Program, Parent place
	Index, Count        int32
	Interfaces          []string
	Name                string
	Role                uint32
	Description         string
	States              []uint32
}

// oldCache and newCache answer GetItems.
type (
	oldCache []oldRow
	newCache []newRow
)

func (c oldCache) GetItems() ([]oldRow, *dbus.Error) { return c, nil }
func (c newCache) GetItems() ([]newRow, *dbus.Error) { return c, nil }

// cache gives the program one with all of its nodes.
func (h *hostile) cache(t *testing.T, older bool) {
	t.Helper()
	var (
		olds oldCache
		news newCache
		add  func(n, index int, parent place)
	)
	add = func(n, index int, parent place) {
		below, children := h.children(n), []place{}
		for _, c := range below {
			children = append(children, h.place(c))
		}
		at, top, name, is, states := h.place(n), h.place(0), h.name(n), []string{accessible}, []uint32{1 << 25, 0}
		olds = append(olds, oldRow{at, top, parent, children, is, name, 7, "", states})
		news = append(news, newRow{at, top, parent, int32(index), int32(len(children)), is, name, 7, "", states})
		for i, c := range below {
			add(c, i, at)
		}
	}
	add(0, -1, place{"", nullPath})
	var cache any = news
	if older {
		cache = olds
	}
	if err := h.conn.Export(cache, "/org/a11y/atspi/cache", "org.a11y.atspi.Cache"); err != nil {
		t.Fatal(err)
	}
}

func TestTooManyNodesAreCutOff(t *testing.T) {
	for name, h := range map[string]*hostile{"flat": {children: flat}, "rows": {children: rows}} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t)
			c.join(h)
			h.cache(t, name == "flat")
			a := c.alone()
			if n := count(a.Root); n != maxNodes || !a.Truncated {
				t.Errorf("%d nodes, truncated %v", n, a.Truncated)
			}
			if first := a.Root.Children[0]; first.Role != "check box" || first.Name != "node 1" {
				t.Errorf("%+v", first)
			}
			found := c.ask(http.StatusOK, http.MethodPost, "/find", fields{"name": "node 20", "nameMatch": "exact"})
			if len(found.Matches) != 1 || !found.Truncated {
				t.Errorf("%+v", found)
			}
		})
	}
}

func TestChildrenWithoutEndAreNotAskedFor(t *testing.T) {
	c := newClient(t)
	h := &hostile{children: flat}
	root := c.join(h)
	p := newProgram(t.Context(), &bus{Conn: h.conn, patience: usual}, root.bus)
	got, complete, err := p.children(root.path, 10)
	if err != nil || complete || len(got) != 10 || got[9] != (ref{root.bus, h.path(10)}) {
		t.Errorf("%v, complete %v, error %v", got, complete, err)
	}
}

func upTo(from, to int) []int {
	all := make([]int, 0, to-from)
	for n := from; n < to; n++ {
		all = append(all, n)
	}
	return all
}

func TestNamesWithoutEndAreCutOff(t *testing.T) {
	c := newClient(t)
	long := strings.Repeat("x", 1<<20)
	c.join(&hostile{
		children: func(n int) []int {
			if n != 0 {
				return nil
			}
			return upTo(1, 60)
		},
		name: func(int) string { return long },
	})
	w := c.send(t.Context(), http.MethodGet, "/tree", nil)
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d, error %v", w.Code, err)
	}
	if size := w.Body.Len(); !a.Truncated || size > maxText+1<<20 || size < maxText/2 || count(a.Root) != 60 {
		t.Errorf("%d bytes, %d nodes, truncated %v", size, count(a.Root), a.Truncated)
	}
}

func TestChildrenOfOthersAreFollowedAndNowhereIsLeftOut(t *testing.T) {
	c := newClient(t)
	pid := c.run().Pid
	form := c.tree(fmt.Sprint("scope=pid&maxDepth=0&pid=", pid)).Root.ID
	other, err := parseID(form)
	if err != nil {
		t.Fatal(err)
	}
	root := c.join(&hostile{
		children: func(n int) []int {
			if n != 0 {
				return nil
			}
			return upTo(1, 6)
		},
		elsewhere: func(n int) (string, dbus.ObjectPath) {
			switch n {
			case 1:
				return other.bus, other.path
			case 2:
				return ":1.99999", "/gone"
			case 3:
				return "", "/"
			case 4:
				return "org.freedesktop.DBus", "/org/freedesktop/DBus"
			}
			return "", ""
		},
	})
	a := c.tree("scope=all")
	if n := count(a.Root); n != 1+14+1+1 || a.Truncated {
		t.Errorf("%d nodes, truncated %v", n, a.Truncated)
	}
	found := c.ask(http.StatusOK, http.MethodPost, "/find", fields{"scope": "all", "name": "node 5"})
	if len(found.Matches) != 1 || !strings.HasPrefix(found.Matches[0].ID, root.bus+":") {
		t.Errorf("%+v", found.Matches)
	}
}

func TestAProgramThatNeverAnswersLeavesNoGoroutines(t *testing.T) {
	c := newClient(t)
	forever := make(chan struct{})
	t.Cleanup(func() { close(forever) })
	c.join(&hostile{children: func(int) []int { return nil }, name: func(int) string { <-forever; return "" }})
	c.tree("scope=all")
	before := runtime.NumGoroutine()
	for range 2 {
		if a := c.tree("scope=all"); !a.Truncated || len(a.Root.Children) != 1 {
			t.Errorf("%+v", a)
		}
	}
	eventually(t, "the end of all goroutines", func() bool { return runtime.NumGoroutine() <= before+8 }) // those of the program itself
}
