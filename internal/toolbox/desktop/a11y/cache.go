package a11y

import (
	"cmp"
	"errors"
	"slices"

	"github.com/godbus/dbus/v5"
)

// item is a node as a program's cache tells of it.
type item struct {
	parent      ref
	index       int32
	role        uint32
	name        string
	description string
	states      []uint32
	interfaces  []string
	children    []ref
	complete    bool // children are all that it has
}

// cached is the program's cache, nil when it has none. It is a snapshot: a node
// that is not in it may still be there.
func (p *program) cached() map[ref]*item {
	p.once.Do(func() {
		if _, slow := p.conn.slow.Load(p.name); slow {
			return
		}
		// One that hangs is known sooner by a call that costs nothing.
		if p.call(rootPath, accessible+".GetRole").Err != nil {
			return
		}
		call := p.patientCall(p.conn.patience.cache, "/org/a11y/atspi/cache", "org.a11y.atspi.Cache.GetItems")
		if call.Err == nil && len(call.Body) == 1 {
			p.cache = items(call.Body[0])
		}
		if errors.Is(call.Err, errSilent) {
			// GTK counts the brothers of each node, which takes minutes for thousands
			// of them. The next walk asks for one thing at a time.
			p.conn.slow.Store(p.name, true)
		}
	})
	return p.cache
}

// items reads the answer of GetItems in both of its forms: that of GTK and of
// programs of today, in which a node knows its index and how many children it
// has, and the older one of Qt, in which it names its children.
func items(body any) map[ref]*item {
	rows, ok := body.([][]any)
	if !ok {
		return nil
	}
	all := make(map[ref]*item, len(rows))
	counts := map[ref]int32{}
	for _, row := range rows {
		at, it, count, ok := decodeItem(row)
		if !ok {
			return nil
		}
		all[at] = it
		if !it.complete {
			counts[at] = count
		}
	}
	order := make([]ref, 0, len(all))
	for at := range all {
		order = append(order, at)
	}
	slices.SortFunc(order, func(a, b ref) int {
		return cmp.Or(cmp.Compare(all[a].index, all[b].index), cmp.Compare(a.path, b.path))
	})
	for _, at := range order {
		parent := all[at].parent
		if _, counted := counts[parent]; counted {
			all[parent].children = append(all[parent].children, at)
		}
	}
	for at, count := range counts {
		all[at].complete = numbered(all, all[at].children, count)
	}
	return all
}

// numbered tells whether children are all of count.
func numbered(all map[ref]*item, children []ref, count int32) bool {
	if len(children) != int(count) {
		return false
	}
	for i, c := range children {
		if all[c].index != int32(i) {
			return false
		}
	}
	return true
}

// decodeItem reads one row. The last of the common columns are the interfaces,
// the name, the role, the description and the states.
func decodeItem(row []any) (at ref, it *item, count int32, ok bool) {
	const common = 5
	if len(row) != 10 && len(row) != 9 {
		return at, nil, 0, false
	}
	it = &item{}
	var good [7]bool
	at, good[0] = decodeRef(row[0])
	it.parent, good[1] = decodeRef(row[2])
	tail := row[len(row)-common:]
	it.interfaces, good[2] = tail[0].([]string)
	it.name, good[3] = tail[1].(string)
	it.role, good[4] = tail[2].(uint32)
	it.description, good[5] = tail[3].(string)
	it.states, good[6] = tail[4].([]uint32)
	if slices.Contains(good[:], false) {
		return at, nil, 0, false
	}
	if len(row) == 10 {
		var indexed, counted bool
		it.index, indexed = row[3].(int32)
		count, counted = row[4].(int32)
		return at, it, count, indexed && counted
	}
	children, ok := row[3].([][]any)
	for _, c := range children {
		child, good := decodeRef(c)
		if !good {
			return at, nil, 0, false
		}
		it.children = append(it.children, child)
	}
	it.complete = true
	return at, it, 0, ok
}

func decodeRef(v any) (ref, bool) {
	pair, ok := v.([]any)
	if !ok || len(pair) != 2 {
		return ref{}, false
	}
	bus, ok1 := pair[0].(string)
	path, ok2 := pair[1].(dbus.ObjectPath)
	return ref{bus, path}, ok1 && ok2
}
