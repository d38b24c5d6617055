package a11y

import (
	"math"
	"strings"

	"github.com/godbus/dbus/v5"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// Interfaces that nodes may have.
const (
	action       = "org.a11y.atspi.Action"
	component    = "org.a11y.atspi.Component"
	editableText = "org.a11y.atspi.EditableText"
	valued       = "org.a11y.atspi.Value"
)

// Node is a node as clients see it.
type Node struct {
	ID          string   `json:"id"`
	Role        string   `json:"role"`
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	States      []string `json:"states"`
	Actions     []string `json:"actions,omitempty"`
	Bounds      *Bounds  `json:"bounds,omitempty"`
	Children    []*Node  `json:"children,omitempty"`
}

// Bounds are a node's on the screen.
type Bounds struct {
	X      int32 `json:"x"`
	Y      int32 `json:"y"`
	Width  int32 `json:"width"`
	Height int32 `json:"height"`
}

// nested is e's node with those of its children in it.
func (e *entry) nested() *Node {
	for _, c := range e.children {
		e.node.Children = append(e.node.Children, c.nested())
	}
	return &e.node
}

// id is what clients call the node by.
func (r ref) id() string { return r.bus + ":" + string(r.path) }

// parseID is its inverse.
func parseID(id string) (ref, error) {
	bus, path, ok := strings.Cut(id, ":/")
	r := ref{bus, dbus.ObjectPath("/" + path)}
	if !ok || !r.valid() {
		return ref{}, wire.Bad("%.80q is not the id of a node: take one from the tree or from find, such as ':1.5:/org/a11y/atspi/accessible/7'", id)
	}
	return r, nil
}

func (r ref) valid() bool {
	const maxName, maxPath = 255, 4096
	return len(r.bus) <= maxName && isBusName(r.bus) && len(r.path) <= maxPath && r.path.IsValid()
}

// isBusName tells what D-Bus takes for one: of a connection (":1.5") or of a service.
func isBusName(name string) bool {
	unique := strings.HasPrefix(name, ":")
	elements := strings.Split(strings.TrimPrefix(name, ":"), ".")
	for _, e := range elements {
		if e == "" || !unique && e[0] >= '0' && e[0] <= '9' {
			return false
		}
		for _, c := range []byte(e) {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
				return false
			}
		}
	}
	return len(elements) > 1
}

// bounds asks where a node is; nil when it is nowhere.
func (p *program) bounds(path dbus.ObjectPath) (*Bounds, error) {
	const ofTheScreen = uint32(0)
	var b Bounds
	if err := p.call(path, component+".GetExtents", ofTheScreen).Store(&b); err != nil {
		return nil, err
	}
	if b.X == math.MinInt32 || b.Width < 0 || b.Height < 0 { // GTK, of what is not shown
		return nil, nil
	}
	return &b, nil
}

// actions asks for the names of what can be done with a node.
func (p *program) actions(path dbus.ObjectPath) ([]string, error) {
	var list []struct{ Name, Description, Key string }
	if err := p.call(path, action+".GetActions").Store(&list); err != nil {
		return nil, err
	}
	var names []string
	for _, a := range list {
		names = append(names, a.Name)
	}
	return names, nil
}
