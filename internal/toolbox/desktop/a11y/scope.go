package a11y

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/godbus/dbus/v5"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// scope is where a walk begins: at all programs together, at that of a process,
// or at that of the window in front.
type scope struct {
	all bool
	pid int // 0 is none
}

func newScope(name string, pid int) (scope, error) {
	if name == "" && pid != 0 {
		name = "pid"
	}
	switch {
	case name == "pid" && pid > 0:
		return scope{pid: pid}, nil
	case name == "pid":
		return scope{}, wire.Bad("scope pid needs the positive number of a process as pid")
	case name != "" && name != "focused" && name != "all":
		return scope{}, wire.Bad("there is no scope %.80q: use focused, pid or all", name)
	case pid != 0:
		return scope{}, wire.Bad("pid goes with scope pid, not with scope %s", name)
	}
	return scope{all: name == "all"}, nil
}

// root is the node at which a walk of that scope begins.
func (w *walk) root(sc scope) (ref, error) {
	top := ref{registry, rootPath}
	if sc.all {
		return top, nil
	}
	programs, _, err := w.program(registry).children(rootPath, maxNodes)
	if err != nil {
		if stopped := w.interrupted(); stopped != nil {
			return ref{}, stopped
		}
		return ref{}, unavailable(err)
	}
	if sc.pid != 0 {
		return w.ofProcess(programs, sc.pid)
	}
	if len(programs) == 0 {
		return ref{}, wire.Errorf(http.StatusNotFound, wire.NotFound,
			"no program on the desktop has an accessibility tree: start one (GTK and Qt programs have one; Chromium needs --force-renderer-accessibility for that of its pages)")
	}
	return w.inFront(programs), nil
}

func (w *walk) ofProcess(programs []ref, pid int) (ref, error) {
	for _, p := range programs {
		var of uint32
		err := w.conn.BusObject().CallWithContext(w.ctx, "org.freedesktop.DBus.GetConnectionUnixProcessID", 0, p.bus).Store(&of)
		if err == nil && int(of) == pid {
			return p, nil
		}
	}
	if err := w.interrupted(); err != nil {
		return ref{}, err
	}
	return ref{}, wire.Errorf(http.StatusNotFound, wire.NotFound,
		"process %d has no accessibility tree: take a program's own process, and see with scope all which have one", pid)
}

// inFront is the program that has the active window, else the first that answers,
// else the first. One that hangs keeps nobody waiting when another is in front.
func (w *walk) inFront(programs []ref) ref {
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	type finding struct {
		index            int
		answered, active bool
	}
	findings := make(chan finding, len(programs))
	for i, at := range programs {
		go func() {
			p := newProgram(ctx, w.conn, at.bus)
			active, err := p.hasActiveWindow(at.path)
			findings <- finding{i, err == nil, active}
		}()
	}
	first := -1
	for range programs {
		f := <-findings
		if f.active {
			return programs[f.index]
		}
		if f.answered && (first < 0 || f.index < first) {
			first = f.index
		}
	}
	return programs[max(first, 0)]
}

func (p *program) hasActiveWindow(root dbus.ObjectPath) (bool, error) {
	const most = 256
	windows, _, err := p.children(root, most)
	if err != nil {
		return false, err
	}
	var failures []error
	for _, at := range windows {
		var states []uint32
		if err := p.call(at.path, accessible+".GetState").Store(&states); err != nil {
			failures = append(failures, err)
		}
		if slices.Contains(stateNames(states), "active") {
			return true, nil
		}
	}
	return false, errors.Join(failures...)
}
