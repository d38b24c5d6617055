// Package enginetest has what tests of engines, and tests with an engine, need:
// one in memory whose calls can be made to fail, to be slow and to hang.
package enginetest

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opendaytona/daytona/internal/engine"
)

// Machine is what an engine in memory finds again after its server has ended:
// disks, captures and sandboxes that run. All of its methods may be called at any
// time; they are what happens on a machine, not through its engine.
type Machine struct {
	// DiskSize is what the limits of all disks may be in sum, and Slots how many
	// sandboxes may run; 0 is no limit. Agent answers on every connection to a
	// sandbox; without one, connections are closed at once. They are set before the
	// first Open.
	DiskSize int64
	Slots    int
	Agent    http.Handler

	mu       sync.Mutex
	boot     int
	engine   *Engine // that has it open
	disks    map[string]*disk
	captures map[string]*disk
	aside    map[engine.Disk]*disk
	running  map[string]*process
	lost     map[string]bool // images
	broken   map[string]string
	faults   []*Fault
	calls    []Call
}

// disk is a disk with what is told of the sandbox whose it is.
type disk struct {
	limit  int64
	files  map[string]string
	record []byte
	booted int          // the boot of the machine in which it was started last
	exit   *engine.Exit // of its last run
}

// process is a running sandbox.
type process struct {
	spec    engine.Spec
	started time.Time
	memory  int64 // in use
}

// NewMachine is one on which nothing is.
func NewMachine() *Machine {
	return &Machine{
		disks: map[string]*disk{}, captures: map[string]*disk{}, aside: map[engine.Disk]*disk{}, running: map[string]*process{},
		lost: map[string]bool{}, broken: map[string]string{},
	}
}

// Open returns an engine on the machine. One that had it before is as one whose
// server was killed: its calls fail from now on.
func (m *Machine) Open() *Engine {
	m.mu.Lock()
	last := m.engine
	e := newEngine(m)
	m.engine = e
	m.mu.Unlock()
	if last != nil {
		last.end()
	}
	return e
}

// Reboot ends the engine and everything that runs. The disks stay.
func (m *Machine) Reboot() {
	m.mu.Lock()
	last := m.engine
	m.engine = nil
	m.boot++
	clear(m.running)
	clear(m.broken)
	for _, d := range m.disks {
		d.exit = nil
	}
	m.mu.Unlock()
	if last != nil {
		last.end()
	}
}

// EndOne ends a sandbox as its first process does by itself, or as the kernel
// ends it. It reports whether the sandbox ran.
func (m *Machine) EndOne(id string, exit engine.Exit) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running[id] == nil {
		return false
	}
	delete(m.running, id)
	if d := m.disks[id]; d != nil {
		d.exit = &exit
	}
	if m.engine != nil {
		m.engine.hub.Changed(id)
	}
	return true
}

// Break makes the engine report a sandbox as one that it could not recover, and
// with problem "" as recovered.
func (m *Machine) Break(id, problem string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken[id] = problem; problem == "" {
		delete(m.broken, id)
	}
	if m.engine != nil {
		m.engine.hub.Changed(id)
	}
}

// LoseImage makes an image absent. Every other one is there.
func (m *Machine) LoseImage(digest string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost[digest] = true
}

// LoseDisk removes a sandbox's disk behind the engine's back.
func (m *Machine) LoseDisk(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.disks, id)
}

// UseMemory says how much memory a running sandbox takes.
func (m *Machine) UseMemory(id string, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.running[id]; p != nil {
		p.memory = bytes
	}
}

// WriteFile writes a file of a sandbox's disk, which must be there.
func (m *Machine) WriteFile(id, path, content string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disks[id].files[strings.TrimPrefix(path, "/")] = content
}

// ReadFile reads a file of a sandbox's disk.
func (m *Machine) ReadFile(id, path string) (content string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.disks[id]; d != nil {
		content, ok = d.files[strings.TrimPrefix(path, "/")]
	}
	return content, ok
}

// Running is what a running sandbox was started with and what was applied to it
// since.
func (m *Machine) Running(id string) (spec engine.Spec, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.running[id]; p != nil {
		return p.spec, true
	}
	return spec, false
}

// Runs reports whether the sandbox runs.
func (m *Machine) Runs(id string) bool {
	_, ok := m.Running(id)
	return ok
}

// Disks are the ids of all sandboxes that have a disk, sorted.
func (m *Machine) Disks() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.disks))
}

// Call is one call of a method of the engine.
type Call struct{ Method, ID string }

// Calls are all calls so far, in the order in which they began.
func (m *Machine) Calls() []Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// Called counts the calls of a method, for a sandbox or with "" for all.
func (m *Machine) Called(method, id string) (n int) {
	for _, c := range m.Calls() {
		if c.Method == method && (id == "" || c.ID == id) {
			n++
		}
	}
	return n
}

// used is what a disk takes.
func (d *disk) used() (n int64) {
	for path, content := range d.files {
		n += int64(len(path) + len(content))
	}
	return n
}

func (d *disk) copy() *disk { return &disk{limit: d.limit, files: maps.Clone(d.files), booted: -1} }

// promised is what the limits of all disks come to. The caller holds the lock.
func (m *Machine) promised() (n int64) {
	for _, d := range m.disks {
		n += d.limit
	}
	for _, d := range m.aside {
		n += d.limit
	}
	return n
}
