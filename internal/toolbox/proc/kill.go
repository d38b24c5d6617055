package proc

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// KillTree ends p, everything in its session and all descendants: asks them when
// grace is not zero, by SIGTERM and, as interactive shells ignore that, later by
// SIGHUP; it kills what is left after grace. It returns when none of them runs
// any more.
func (p *Process) KillTree(grace time.Duration) { p.killTree(grace, grace/4) }

// KillTreeKindly is KillTree without SIGHUP: what ends at the first signal, however
// slowly, has all of grace for it.
func (p *Process) KillTreeKindly(grace time.Duration) { p.killTree(grace, grace) }

func (p *Process) killTree(grace, patience time.Duration) {
	now := time.Now()
	deadline, hangup := now.Add(grace), now.Add(patience)
	var family []int
	if grace > 0 {
		family = p.tree(nil)
		for _, pid := range family {
			_ = unix.Kill(pid, unix.SIGTERM)
			_ = unix.Kill(pid, unix.SIGCONT)
		}
	}
	hungUp := grace == 0
	pause := time.Millisecond
	for {
		family = p.tree(family)
		if len(family) == 0 {
			return
		}
		if !hungUp && patience < grace && !time.Now().Before(hangup) {
			hungUp = true
			for _, pid := range family {
				_ = unix.Kill(pid, unix.SIGHUP)
			}
		}
		if !time.Now().Before(deadline) {
			for _, pid := range family {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		time.Sleep(pause)
		pause = min(2*pause, 50*time.Millisecond)
		if time.Since(deadline) > 5*time.Second {
			return // stuck in the kernel: killed, but not gone yet
		}
	}
}

// Signal sends a signal to p's first thread, or to its whole process group. A
// process that has ended gets none.
func (p *Process) Signal(s unix.Signal, group bool) {
	p.table.fork.RLock() // its number is not given to another meanwhile
	defer p.table.fork.RUnlock()
	select {
	case <-p.done:
		return
	default:
	}
	if group {
		_ = unix.Kill(-p.Pid, s)
	} else {
		_ = unix.Tgkill(p.Pid, p.Pid, s)
	}
}

// tree lists the running processes of p's session and their descendants, and
// those of before that still run with theirs.
func (p *Process) tree(before []int) []int {
	p.table.fork.RLock()
	defer p.table.fork.RUnlock()
	p.table.mu.Lock()
	now := p.table.live[p.Pid]
	p.table.mu.Unlock()
	reused := now != nil && now != p // another process was given the number

	all := scan()
	in := map[int]bool{}
	for _, pid := range before {
		in[pid] = true
	}
	for _, e := range all {
		if !reused && (e.session == p.Pid || e.pid == p.Pid) {
			in[e.pid] = true
		}
	}
	for grew := true; grew; {
		grew = false
		for _, e := range all {
			if !in[e.pid] && in[e.parent] {
				in[e.pid], grew = true, true
			}
		}
	}
	self := os.Getpid()
	var pids []int
	for _, e := range all {
		if in[e.pid] && e.pid != self && e.state != 'Z' && e.state != 'X' {
			pids = append(pids, e.pid)
		}
	}
	return pids
}

type entry struct {
	pid, parent, session int
	state                byte
}

// scan reads /proc. Processes that end meanwhile are left out.
func scan() []entry {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var all []entry
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		b, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue
		}
		// proc(5): pid (comm) state ppid pgrp session …; comm may hold anything.
		f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
		if len(f) < 4 {
			continue
		}
		parent, _ := strconv.Atoi(string(f[1]))
		session, _ := strconv.Atoi(string(f[3]))
		all = append(all, entry{pid: pid, parent: parent, session: session, state: f[0][0]})
	}
	return all
}

// KillAll ends every process of the table's reach: all of the pid namespace
// when the caller is its first process, else everything started here. It asks
// first, and kills after grace. The process first, which may be nil, is asked
// before the others and has half of the time alone: dockerd stops its containers
// in order only as long as nobody ends them under it. Nothing is started from then
// on: what is watched and started again would come back.
func (t *Table) KillAll(first *Process, grace time.Duration) {
	t.ending.Store(true)
	if os.Getpid() != 1 {
		t.mu.Lock()
		procs := make([]*Process, 0, len(t.live))
		for _, p := range t.live {
			procs = append(procs, p)
		}
		t.mu.Unlock()
		done := make(chan struct{})
		for _, p := range procs {
			go func() {
				p.KillTree(grace)
				done <- struct{}{}
			}()
		}
		for range procs {
			<-done
		}
		return
	}
	now := time.Now()
	if first != nil {
		first.askAlone(grace / 2)
	}
	// kill(2): -1 is every process but the first.
	_ = unix.Kill(-1, unix.SIGTERM)
	_ = unix.Kill(-1, unix.SIGCONT)
	awaitOthers(time.Now().Add(grace / 8))
	_ = unix.Kill(-1, unix.SIGHUP)
	awaitOthers(now.Add(grace))
	_ = unix.Kill(-1, unix.SIGKILL)
}

// askAlone asks p to end, and returns when it has or did not in time.
func (p *Process) askAlone(patience time.Duration) {
	select {
	case <-p.Done():
		return // and its number may be another's
	default:
	}
	_ = unix.Kill(p.Pid, unix.SIGTERM)
	_ = unix.Kill(p.Pid, unix.SIGCONT)
	select {
	case <-p.Done():
	case <-time.After(patience):
	}
}

func awaitOthers(deadline time.Time) {
	for others() && time.Now().Before(deadline) {
		time.Sleep(2 * time.Millisecond)
	}
}

func others() bool {
	for _, e := range scan() {
		if e.pid != 1 && e.state != 'Z' && e.state != 'X' {
			return true
		}
	}
	return false
}
