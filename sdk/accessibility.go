package daytona

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// Accessibility reads the accessibility tree of the desktop's programs and acts on
// its nodes, without a look at the screen. GTK and Qt programs have a tree; of
// Chromium's pages there is one with --force-renderer-accessibility. Errors of all:
// ErrInvalid when the desktop is not started, ErrUnreachable where the image
// has none or a program does not answer (Error.Code is A11Y_UNAVAILABLE).
type Accessibility struct{ sandbox *Sandbox }

// AccessibilityScope is where to look. The zero value is the program whose window
// is in front.
type AccessibilityScope struct {
	All bool // all programs
	PID int  // the one with that process
}

func (s AccessibilityScope) name() string {
	switch {
	case s.All:
		return "all"
	case s.PID != 0:
		return "pid"
	}
	return "focused"
}

// AccessibilityNode is something on the screen: a window, a button, a text.
type AccessibilityNode struct {
	ID          string               `json:"id"` // until its program ends
	Role        string               `json:"role"`
	Name        string               `json:"name"`
	Description string               `json:"description"`
	States      []string             `json:"states"`  // such as focused, showing, checked
	Actions     []string             `json:"actions"` // what Invoke can do
	Bounds      *AccessibilityBounds `json:"bounds"`  // nil when it is nowhere on the screen
	Children    []AccessibilityNode  `json:"children"`
}

// AccessibilityBounds are a node's, in pixels of the screen.
type AccessibilityBounds struct {
	X      int `json:"x"`
	Y      int `json:"y"`
	Width  int `json:"width"`
	Height int `json:"height"`
}

// AccessibilityTree is a node with all below it.
type AccessibilityTree struct {
	Root      AccessibilityNode `json:"root"`
	Truncated bool              `json:"truncated"` // something is missing: it is too large, or a program does not answer
}

// Tree reads the tree down to maxDepth levels below its root; -1 is all. Errors:
// ErrNotFound when there is no such program.
func (a *Accessibility) Tree(ctx context.Context, scope AccessibilityScope, maxDepth int) (*AccessibilityTree, error) {
	query := url.Values{"scope": {scope.name()}, "maxDepth": {strconv.Itoa(maxDepth)}}
	if scope.PID != 0 {
		query.Set("pid", strconv.Itoa(scope.PID))
	}
	var out AccessibilityTree
	if err := a.sandbox.call(ctx, request{method: http.MethodGet, url: "/computeruse/a11y/tree", query: query}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// AccessibilityFilter is what nodes must be to be found; the zero value is all.
type AccessibilityFilter struct {
	Role      string   // such as "button" or "text"
	Name      string   // a part of the name
	NameMatch string   // "exact" and "regex" are other ways to compare
	States    []string // all of them
	Limit     int      // of nodes; 0 is 500
}

// AccessibilityMatches are the nodes that were found, without their children.
type AccessibilityMatches struct {
	Matches   []AccessibilityNode `json:"matches"`
	Truncated bool                `json:"truncated"` // there are or may be more
}

// Find lists nodes in the order in which they are read. Errors: ErrNotFound when
// there is no such program, ErrInvalid for a filter that is none.
func (a *Accessibility) Find(ctx context.Context, scope AccessibilityScope, f AccessibilityFilter) (*AccessibilityMatches, error) {
	body := map[string]any{"scope": scope.name(), "role": f.Role, "name": f.Name, "nameMatch": f.NameMatch, "states": f.States, "limit": f.Limit}
	if scope.PID != 0 {
		body["pid"] = scope.PID
	}
	var out AccessibilityMatches
	if err := a.post(ctx, "find", body, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// Focus gives a node the keyboard. Errors: ErrNotFound when it is gone, ErrInvalid
// when it cannot have the focus.
func (a *Accessibility) Focus(ctx context.Context, id string) error {
	return a.post(ctx, "node/focus", map[string]any{"id": id}, nil)
}

// Invoke does one of a node's actions; "" is the first, which clicks a button.
// Errors: ErrNotFound when the node is gone, ErrInvalid when it has no such action
// or is disabled.
func (a *Accessibility) Invoke(ctx context.Context, id, action string) error {
	return a.post(ctx, "node/invoke", map[string]any{"id": id, "action": action}, nil)
}

// SetValue writes the text of an entry, or the number of a slider and the like.
// Errors: ErrNotFound when the node is gone, ErrInvalid when it takes no such value.
func (a *Accessibility) SetValue(ctx context.Context, id, value string) error {
	return a.post(ctx, "node/value", map[string]any{"id": id, "value": value}, nil)
}

func (a *Accessibility) post(ctx context.Context, route string, body map[string]any, out any) error {
	return a.sandbox.call(ctx, request{method: http.MethodPost, url: "/computeruse/a11y/" + route, body: body}, out)
}
