package a11y

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/godbus/dbus/v5"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

const (
	// maxNodes is how many nodes a walk looks at.
	maxNodes = 20_000
	// maxDepth is how deep it goes. JSON that is nested deeper is more than the
	// clients' parsers take, and no program of use is.
	maxDepth = 200
	// maxText is how many bytes of names and descriptions it keeps.
	maxText = 32 << 20
)

// walk is one look at the tree.
type walk struct {
	conn      *bus
	client    context.Context // ends when the client goes away
	ctx       context.Context // and this after some time too
	end       context.CancelFunc
	truncated atomic.Bool // something is missing
	text      atomic.Int64

	mu       sync.Mutex
	programs map[string]*program
}

// entry is a node of a walk with what is needed to go on from there.
type entry struct {
	ref
	node       Node
	interfaces []string
	gone       bool
	children   []*entry

	below    []ref // its children, as expand found them
	isKnown  bool
	isCached bool
}

// walk begins one. The caller ends it.
func (s *Service) walk(client context.Context) (*walk, error) {
	conn, err := s.buses.get(client)
	if err != nil {
		return nil, err
	}
	w := &walk{conn: conn, client: client, programs: map[string]*program{}}
	w.ctx, w.end = context.WithTimeout(client, conn.patience.walk)
	return w, nil
}

// interrupted is the answer to a client that is no longer there, or for a bus
// that ended meanwhile.
func (w *walk) interrupted() error {
	if w.client.Err() != nil {
		return canceled()
	}
	if !w.conn.Connected() {
		return unavailable(dbus.ErrClosed)
	}
	return nil
}

func (w *walk) program(name string) *program {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.programs[name]
	if p == nil {
		p = newProgram(w.ctx, w.conn, name)
		w.programs[name] = p
	}
	return p
}

// run walks the tree below root level by level, so that what a limit cuts off is
// deep down and not the last of the windows.
func (w *walk) run(root ref, depth int) (*entry, error) {
	top := &entry{ref: root}
	seen := map[ref]bool{root: true}
	level := []*entry{top}
	for d := 0; len(level) > 0; d++ {
		each(len(level), func(i int) { w.load(level[i]) })
		if d == depth {
			break
		}
		each(len(level), func(i int) { w.expand(level[i], maxNodes-len(seen)) })
		if d == maxDepth {
			if slices.ContainsFunc(level, func(e *entry) bool { return len(e.below) > 0 }) {
				w.truncated.Store(true)
			}
			break
		}
		level = w.next(level, seen)
	}
	if err := w.interrupted(); err != nil {
		return nil, err
	}
	switch {
	case top.gone:
		return nil, wire.Errorf(http.StatusNotFound, wire.NotFound, "the program ended while its tree was read: try again")
	case !top.isKnown:
		return nil, silent()
	}
	return top, nil
}

// next makes the entries of the children of level. A node that several call
// their child is that of the first: programs have made cycles.
func (w *walk) next(level []*entry, seen map[ref]bool) []*entry {
	var next []*entry
	for _, e := range level {
		for _, at := range e.below {
			// The bus ends a connection that sends to what is no name.
			if !at.valid() || at.path == nullPath || seen[at] {
				continue
			}
			if len(seen) == maxNodes {
				w.truncated.Store(true)
				return next
			}
			seen[at] = true
			child := &entry{ref: at}
			e.children = append(e.children, child)
			next = append(next, child)
		}
		e.below = nil
	}
	return next
}

// nullPath is how AT-SPI says that there is no node.
const nullPath = "/org/a11y/atspi/null"

// load reads what a node is.
func (w *walk) load(e *entry) {
	p := w.program(e.bus)
	e.node = Node{ID: e.id(), States: []string{}}
	if it := p.cached()[e.ref]; it != nil {
		e.isCached = true
		e.isKnown = true
		e.interfaces = it.interfaces
		w.describeAs(e, p, it.role, it.name, it.description, it.states)
		return
	}
	var (
		name, description string
		role              uint32
		states            []uint32
	)
	// One by one: the registry and Qt do not know GetAll.
	err := p.property(e.path, "Name", &name)
	if err == nil {
		err = p.property(e.path, "Description", &description)
	}
	if err == nil {
		err = p.call(e.path, accessible+".GetRole").Store(&role)
	}
	if err == nil {
		err = p.call(e.path, accessible+".GetState").Store(&states)
	}
	if err == nil {
		err = p.call(e.path, accessible+".GetInterfaces").Store(&e.interfaces)
	}
	if err != nil {
		// A node that is gone is left out. One that cannot be asked stays as an id,
		// which tells that its program is there.
		e.gone = !p.hangs() && w.ctx.Err() == nil && w.conn.Connected()
		if !e.gone {
			w.truncated.Store(true)
		}
		return
	}
	e.isKnown = true
	w.describeAs(e, p, role, name, description, states)
}

func (w *walk) describeAs(e *entry, p *program, role uint32, name, description string, states []uint32) {
	e.node.Role = roleName(role)
	if e.node.Role == "" { // one of the program's own, or newer than the table
		_ = p.call(e.path, accessible+".GetRoleName").Store(&e.node.Role)
	}
	e.node.States = stateNames(states)
	if w.text.Add(int64(len(name)+len(description))) > maxText {
		w.truncated.Store(true)
		return
	}
	e.node.Name, e.node.Description = name, description
}

// expand finds a node's children.
func (w *walk) expand(e *entry, limit int) {
	if !e.isKnown {
		return
	}
	p := w.program(e.bus)
	if e.isCached {
		if it := p.cached()[e.ref]; it.complete {
			e.below = it.children
			return
		}
	}
	below, complete, err := p.children(e.path, limit)
	if err != nil && (p.hangs() || w.ctx.Err() != nil) || err == nil && !complete {
		w.truncated.Store(true)
	}
	e.below = below
}

// preorder lists the entries below top in the order in which they are read, and
// takes out those that are gone.
func preorder(top *entry) []*entry {
	all := []*entry{top}
	kept := top.children[:0]
	for _, c := range top.children {
		if !c.gone {
			kept = append(kept, c)
			all = append(all, preorder(c)...)
		}
	}
	top.children = kept
	return all
}

// describe adds to nodes what costs calls of its own: where they are, and what
// can be done with them.
func (w *walk) describe(entries []*entry) {
	each(len(entries), func(i int) {
		e := entries[i]
		p := w.program(e.bus)
		var err error
		if slices.Contains(e.interfaces, component) {
			e.node.Bounds, err = p.bounds(e.path)
		}
		if err == nil && slices.Contains(e.interfaces, action) {
			e.node.Actions, err = p.actions(e.path)
		}
		if err != nil && (p.hangs() || w.ctx.Err() != nil) {
			w.truncated.Store(true)
		}
	})
}
