package desktop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/opendaytona/daytona/internal/toolbox/proc"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

const (
	// restartPause is how long after its end a program is started again.
	restartPause = 5 * time.Second
	// probePause is how long after a look that failed another is taken.
	probePause = 200 * time.Millisecond
	// endGrace is how long one has to end that was asked to.
	endGrace = 2 * time.Second
)

// supervised is a program and its process.
type supervised struct {
	program
	session *session

	mu      sync.Mutex
	process *proc.Process // nil while there is none
	ready   bool
	failed  error         // why there is none
	hurry   bool          // start it at once
	changed chan struct{} // closed at the next change
}

// supervise keeps the program running until the session ends.
func (p *supervised) supervise() {
	for p.session.ctx.Err() == nil {
		if err := p.awaitEarlier(); err != nil {
			return
		}
		process, err := p.run()
		if err != nil {
			slog.Error("a program of the desktop does not start", "name", p.name, "error", err)
			p.set(func() { p.failed = err })
		} else {
			p.set(func() { p.process, p.failed, p.hurry = process, nil, false })
			p.watch(process)
		}
		if !p.pause() {
			return
		}
	}
}

// awaitEarlier returns when those programs can be used that this one needs.
func (p *supervised) awaitEarlier() error {
	for _, earlier := range p.session.programs {
		if earlier == p {
			break
		}
		_ = earlier.await(p.session.ctx)
	}
	return p.session.ctx.Err()
}

// watch returns when the process has ended, by itself or because it was asked.
func (p *supervised) watch(process *proc.Process) {
	ctx, cancel := context.WithCancel(p.session.ctx)
	defer cancel()
	go p.probe(ctx, process)
	select {
	case <-process.Done():
		slog.Info("a program of the desktop has ended", "name", p.name, "exit code", process.ExitCode())
	case <-p.session.ctx.Done():
	}
	process.KillTree(endGrace) // also what it has started
	failed := errors.New("it was killed and has not ended yet")
	select {
	case <-process.Done():
		failed = fmt.Errorf("it ended with exit code %d", process.ExitCode())
	default:
	}
	p.set(func() { p.process, p.ready, p.failed = nil, false, failed })
}

// probe looks until the program can be used, or ctx ends.
func (p *supervised) probe(ctx context.Context, process *proc.Process) {
	for p.program.ready != nil {
		err := p.program.ready(ctx, p.session)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return
		}
		p.set(func() { p.failed = err })
		select {
		case <-time.After(probePause):
		case <-ctx.Done():
			return
		}
	}
	p.set(func() { p.ready = p.process == process })
}

// pause waits until the program is to be started again; ok says that it is.
func (p *supervised) pause() (ok bool) {
	var timer <-chan time.Time
	if p.again {
		timer = time.After(restartPause)
	}
	for {
		p.mu.Lock()
		hurry, changed := p.hurry, p.changed
		p.mu.Unlock()
		if hurry {
			return p.session.ctx.Err() == nil
		}
		select {
		case <-timer:
			return true
		case <-changed:
		case <-p.session.ctx.Done():
			return false
		}
	}
}

// set changes the state and wakes those who wait for that.
func (p *supervised) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

// await returns when the program can be used. If it is not required, its first
// failure is waited for at most.
func (p *supervised) await(ctx context.Context) error {
	for {
		p.mu.Lock()
		ready, failed, changed, hurry := p.ready, p.failed, p.changed, p.hurry
		p.mu.Unlock()
		if ready {
			return nil
		}
		if failed != nil && !p.required && !hurry {
			return failed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if failed != nil {
				return failed
			}
			return ctx.Err()
		}
	}
}

// restart ends the process, if there is one, and returns when another can be used.
func (p *supervised) restart(ctx context.Context) error {
	if p == nil {
		return wire.Bad("the sandbox's image does not have this program of the desktop")
	}
	var before *proc.Process
	p.set(func() { before, p.hurry, p.ready, p.failed = p.process, true, false, nil })
	if before != nil {
		before.KillTree(endGrace)
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if err := p.await(ctx); err != nil {
		return wire.Errorf(503, wire.Internal, "the desktop's process %s did not come up again (%v)%s", p.name, err, p.lastWords())
	}
	return nil
}

// run starts the process.
func (p *supervised) run() (*proc.Process, error) {
	if p.session.ctx.Err() != nil {
		return nil, errEnded
	}
	logs, err := p.session.service.openLogs(p.name)
	if err != nil {
		return nil, err
	}
	defer logs.close()
	if p.name == "xvfb" {
		if err := p.session.clear(); err != nil {
			return nil, err
		}
	}
	c := p.command()
	c.Files = []uintptr{logs.null.Fd(), logs.out.Fd(), logs.err.Fd()}
	return p.session.service.launcher.Start(c)
}

// running reports whether there is a process; there is none of what is nil.
func (p *supervised) running() bool { return p.pid() != 0 }

func (p *supervised) pid() int {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return 0
	}
	return p.process.Pid
}
