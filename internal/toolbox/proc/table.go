// Package proc starts processes and collects every exit, also those of orphans
// that a first process inherits. All processes of the agent must be started
// here: os/exec would race with the collector for the exit status.
// It imports no other package of the project.
package proc

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Table knows the processes that were started by it and are not collected yet.
type Table struct {
	adopt  bool   // collect orphans too
	oomAdj []byte // of what is started (proc_pid_oom_score_adj(5))

	// fork is held for reading while a process is started and entered in live,
	// and for writing while exits are collected. So an exit is never seen
	// before its process is known, and a pid is not used again before its
	// former owner was told.
	fork sync.RWMutex

	ending atomic.Bool // KillAll has begun: nothing is started any more

	mu   sync.Mutex
	live map[int]*Process
}

// ErrEnding is why nothing is started when everything is being ended.
var ErrEnding = errors.New("everything in the sandbox is being ended")

// Process is one started process, the leader of its own session and group.
type Process struct {
	Pid    int
	table  *Table
	done   chan struct{}
	status unix.WaitStatus // valid once done is closed
}

// Spec is what to run. Its first file becomes descriptor 0, and so on.
type Spec struct {
	Path  string
	Args  []string
	Env   []string
	Dir   string
	Files []uintptr
	UID   uint32
	GID   uint32
	// Groups are the supplementary groups.
	Groups []uint32
	// TTY makes the first file the controlling terminal.
	TTY bool
}

// expendable is how much sooner than this process the kernel kills what it
// started when memory is short, in thousandths of the sandbox's limit: of many
// small processes none may outweigh the first, with which the sandbox ends.
// Raising the value is always allowed, where lowering this process' own is not
// in a user namespace.
const expendable = 100

// New makes a table and begins to collect exits. With adopt it also collects
// processes it did not start; that is for a first process or a subreaper,
// which must start no process by other means.
func New(adopt bool) *Table {
	t := &Table{adopt: adopt, live: map[int]*Process{}}
	if b, err := os.ReadFile("/proc/self/oom_score_adj"); err == nil {
		own, _ := strconv.Atoi(strings.TrimSpace(string(b)))
		t.oomAdj = []byte(strconv.Itoa(min(own+expendable, 1000)))
	}
	exits := make(chan os.Signal, 1)
	signal.Notify(exits, unix.SIGCHLD)
	go func() {
		for range exits {
			t.collect()
		}
	}()
	return t
}

// Start runs spec.
func (t *Table) Start(spec Spec) (*Process, error) {
	if t.ending.Load() {
		return nil, ErrEnding
	}
	t.fork.RLock()
	defer t.fork.RUnlock()
	pid, err := forkExec(spec)
	if err != nil {
		return nil, err
	}
	p := &Process{Pid: pid, table: t, done: make(chan struct{})}
	t.mu.Lock()
	t.live[pid] = p
	t.mu.Unlock()
	if t.oomAdj != nil {
		// A process that already ended is no error.
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), t.oomAdj, 0)
	}
	return p, nil
}

func (t *Table) collect() {
	t.fork.Lock()
	defer t.fork.Unlock()
	if t.adopt {
		for t.wait(-1) {
		}
		return
	}
	t.mu.Lock()
	pids := make([]int, 0, len(t.live))
	for pid := range t.live {
		pids = append(pids, pid)
	}
	t.mu.Unlock()
	for _, pid := range pids {
		t.wait(pid)
	}
}

// wait collects one exit if there is one.
func (t *Table) wait(pid int) bool {
	var status unix.WaitStatus
	for {
		got, err := unix.Wait4(pid, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || got <= 0 {
			return false
		}
		t.mu.Lock()
		p := t.live[got]
		delete(t.live, got)
		t.mu.Unlock()
		if p != nil {
			p.status = status
			close(p.done)
		}
		return true
	}
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// ExitCode is the status of an ended process as a shell tells it: 128+n when
// signal n ended it.
func (p *Process) ExitCode() int {
	if p.status.Signaled() {
		return 128 + int(p.status.Signal())
	}
	return p.status.ExitStatus()
}
