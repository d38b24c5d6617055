package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/slot"
)

// runState is what the next server must know of a sandbox. It stays after a
// stop, to tell whether the sandbox ran since the machine booted.
type runState struct {
	Boot      string // id of the machine's boot
	Slot      int
	IPv6      bool // the slot has it
	Policy    slot.Policy
	PID       int    // of the first process; 0 while it is being started and when it is stopped
	Ticks     uint64 // when the first process started: tells it from another of the same pid
	StartedAt time.Time
	Exit      *engine.Exit // as engine.Status has it
}

// container is a running sandbox.
type container struct {
	runState
	stale bool // its network may not be what Policy says; the sandbox's lock guards it
	pidfd *os.File
	ended chan struct{} // closed when the first process is gone

	memory memoryWatch
}

func (l *Local) sandboxDir(id string) string { return filepath.Join(l.dir, sandboxesDir, id) }
func (l *Local) socket(id string) string     { return filepath.Join(l.sandboxDir(id), "agent.sock") }
func (l *Local) stateFile(id string) string  { return filepath.Join(l.sandboxDir(id), "state.json") }

func (l *Local) readState(id string) (r runState, err error) {
	b, err := os.ReadFile(l.stateFile(id))
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	return r, err
}

func (l *Local) writeState(id string, r runState) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	next := l.stateFile(id) + ".new"
	if err := os.WriteFile(next, b, 0o600); err != nil {
		return err
	}
	return os.Rename(next, l.stateFile(id))
}

// attach opens the container's first process and watches for its end. Errors:
// errGone when it is another process, or none.
func (l *Local) attach(id string, r runState) error {
	fd, err := unix.PidfdOpen(r.PID, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	if err != nil {
		return fmt.Errorf("watch the first process: %w", err)
	}
	// Being nonblocking, it is waited for by the runtime's poller, without a
	// thread.
	c := &container{runState: r, pidfd: os.NewFile(uintptr(fd), "pidfd"), ended: make(chan struct{})}
	ticks, err := startTicks(r.PID)
	if err != nil || ticks != r.Ticks {
		c.pidfd.Close()
		return errGone
	}
	c.memory.killed = l.cgroups.OOMKills(id) // those that another server told
	l.mu.Lock()
	l.running[id] = c
	l.mu.Unlock()
	over, end := context.WithCancel(l.done)
	l.work.Go(func() { defer end(); l.watch(id, c) })
	l.work.Go(func() { l.watchMemory(over, id, c) })
	return nil
}

// errGone says that the container's first process has ended.
var errGone = errors.New("the first process is gone")

// watch waits for the container's end and cleans up after one that ended by
// itself.
func (l *Local) watch(id string, c *container) {
	if !l.wait(c) {
		return
	}
	close(c.ended)
	l.cleanUp(id, c)
}

// cleanUp frees what an ended container held, unless it was stopped, and reports
// its end.
func (l *Local) cleanUp(id string, c *container) {
	unlock, err := l.lock(l.done, id)
	if err != nil {
		return // the next server finds it
	}
	defer unlock()
	l.mu.Lock()
	mine := l.running[id] == c
	l.mu.Unlock()
	if !mine {
		return // it was stopped
	}
	oom := c.memory.ranOut(l.cgroups.OOMKills(id))
	l.mu.Lock()
	failed := l.failed[id]
	delete(l.failed, id)
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.done), grace)
	defer cancel()
	if err := l.release(ctx, id, c, &engine.Exit{OOMKilled: oom && !failed, PoolFailed: failed}); err != nil {
		l.tried(id, fmt.Errorf("clean up after it has ended: %w", err))
	} else {
		l.recovered(id)
	}
	l.events.Changed(id)
}

// wait returns true when the process is gone, false when the engine closes.
func (l *Local) wait(c *container) bool {
	conn, err := c.pidfd.SyscallConn()
	if err != nil {
		return false
	}
	cancel := context.AfterFunc(l.done, func() { _ = c.pidfd.SetReadDeadline(time.Unix(1, 0)) })
	defer cancel()
	gone := func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 && err == nil
	}
	return conn.Read(gone) == nil
}

// Stop implements engine.Engine.
func (l *Local) Stop(ctx context.Context, id string, grace time.Duration) error {
	if grace <= 0 {
		if err := l.kill(id); err != nil {
			return fmt.Errorf("stop sandbox %s: %w", id, err)
		}
	}
	unlock, err := l.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.end(ctx, id, grace); err != nil {
		return fmt.Errorf("stop sandbox %s: %w", id, err)
	}
	return nil
}

// kill ends a sandbox without waiting for its lock, which an orderly stop may
// hold for long.
func (l *Local) kill(id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.running[id]; c != nil {
		return c.signal(unix.SIGKILL)
	}
	return nil
}

// end ends a running sandbox and frees all but its disk. The caller holds the
// sandbox's lock.
func (l *Local) end(ctx context.Context, id string, grace time.Duration) error {
	if err := l.endContainer(ctx, id, grace); err != nil {
		return err
	}
	l.recovered(id)
	return nil
}

func (l *Local) endContainer(ctx context.Context, id string, grace time.Duration) error {
	l.mu.Lock()
	c := l.running[id]
	l.mu.Unlock()
	if c == nil {
		return l.clearStale(ctx, id)
	}
	if grace > 0 {
		if err := c.signal(unix.SIGTERM); err != nil {
			return err
		}
		select {
		case <-c.ended:
		case <-time.After(grace):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	// All processes of the pid namespace go with its first.
	if err := c.signal(unix.SIGKILL); err != nil {
		return err
	}
	for {
		select {
		case <-c.ended:
			return l.release(ctx, id, c, nil)
		case <-time.After(killRepeat):
			// It has frozen itself, and may do so again before it dies, or waits
			// for itself.
			if err := errors.Join(l.cgroups.Kill(id), l.abortFUSE(id)); err != nil {
				return fmt.Errorf("kill its processes: %w", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// killRepeat is how long a killed sandbox has to end before all of its processes
// are killed one by one, and their FUSE connections broken.
const killRepeat = 100 * time.Millisecond

func (c *container) signal(sig unix.Signal) error {
	// Not by Fd, which would take the descriptor from the poller.
	conn, err := c.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = conn.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) })
	if err == nil && !errors.Is(sent, unix.ESRCH) {
		err = sent
	}
	if err != nil {
		return fmt.Errorf("signal the first process: %w", err)
	}
	return nil
}

// release frees what an ended container held. What fails is left to the next
// start of the sandbox or of the server, which do it again. exit is nil when the
// container was stopped.
func (l *Local) release(ctx context.Context, id string, c *container, exit *engine.Exit) error {
	err := l.recordExit(id, exit) // first: nobody may see it ended without
	l.mu.Lock()
	delete(l.running, id)
	l.mu.Unlock()
	c.pidfd.Close()
	return errors.Join(err, l.clear(ctx, id), l.slots.Release(l.slots.Adopt(c.Slot, c.IPv6)))
}

// recordExit keeps how a container has ended.
func (l *Local) recordExit(id string, exit *engine.Exit) error {
	r, err := l.readState(id)
	if err != nil {
		return fmt.Errorf("record the end: %w", err)
	}
	r.PID, r.Ticks, r.Exit = 0, 0, exit
	return l.writeState(id, r)
}

// clear removes every trace of a container that does not run, but its state file's
// word on when it last did.
func (l *Local) clear(ctx context.Context, id string) error {
	// The runtime takes a process for another one when it sees it by clocks that
	// are not the sandbox's, so it is not left to it to kill.
	err := l.cgroups.Kill(id)
	err = errors.Join(err, l.runtime.delete(ctx, id), l.replaceNameServer(id, nil), l.removeGroup(ctx, id))
	if err != nil {
		return err // what is in the directory tells the next attempt that there is something to clear
	}
	dir := l.sandboxDir(id)
	entries, readErr := os.ReadDir(dir)
	if readErr != nil && !errors.Is(readErr, os.ErrNotExist) {
		err = errors.Join(err, readErr)
	}
	for _, e := range entries {
		if e.Name() != filepath.Base(l.stateFile(id)) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	if r, readErr := l.readState(id); readErr == nil && r.PID != 0 {
		r.PID, r.Ticks = 0, 0
		err = errors.Join(err, l.writeState(id, r))
	}
	return err
}

// startTicks is when a process started, in clock ticks after boot (proc(5),
// field 22 of stat).
func startTicks(pid int) (uint64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	// The name, field 2, is in parentheses and may hold anything.
	_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return 0, fmt.Errorf("read /proc/%d/stat: it has %d fields", pid, len(fields))
	}
	if fields[0] == "Z" {
		return 0, errGone
	}
	return strconv.ParseUint(fields[19], 10, 64)
}
