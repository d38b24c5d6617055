package pty

import (
	"errors"
	"os"
	"sync"
	"time"

	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/proc"
)

// maxDrained is more than the kernel keeps of a terminal's output, in bytes.
const maxDrained = 1 << 20

// terminal is a shell on a pseudo-terminal.
type terminal struct {
	request
	created time.Time
	out     output
	in      input
	done    chan struct{} // closed when the shell has ended and its output is complete
	code    int           // valid once done is closed

	mu      sync.Mutex
	size    size
	shell   *proc.Process // nil before the start
	device  *device       // nil before the start and after the end
	over    bool
	viewers int
}

// info is a terminal as the API has it.
type info struct {
	ID        string            `json:"id"`
	Cwd       string            `json:"cwd"`
	Envs      map[string]string `json:"envs"`
	Cols      int               `json:"cols"`
	Rows      int               `json:"rows"`
	CreatedAt time.Time         `json:"createdAt"`
	Active    bool              `json:"active"`
	LazyStart bool              `json:"lazyStart"`
}

func (t *terminal) info() info {
	t.mu.Lock()
	defer t.mu.Unlock()
	return info{
		ID: t.ID, Cwd: t.Cwd, Envs: t.Envs, Cols: t.size.Cols, Rows: t.size.Rows,
		CreatedAt: t.created.UTC(), Active: t.device != nil, LazyStart: t.LazyStart,
	}
}

// start runs the shell, unless it runs already. ended is called as soon as it has
// ended, before viewers hear of it. Errors: errEnded when it has been.
func (t *terminal) start(l *launch.Launcher, ended func()) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.over:
		return t.endedError()
	case t.shell != nil:
		return nil
	}
	shell, err := l.InteractiveShell(t.Envs)
	if err != nil {
		return err
	}
	u, err := l.User()
	if err != nil {
		return err
	}
	d, err := openDevice(u, t.size)
	if err != nil {
		return err
	}
	toll := l.Toll()
	tty := uintptr(d.slave)
	p, err := l.Start(launch.Command{
		Argv: []string{shell, "-i", "-l"}, Dir: t.Cwd, Env: t.Envs,
		Files: []uintptr{tty, tty, tty}, TTY: true,
	})
	if err != nil {
		d.close()
		return err
	}
	t.shell, t.device = p, d
	read := make(chan struct{})
	go func() {
		defer close(read)
		t.read(d)
	}()
	go t.in.copyTo(d.master)
	go func() {
		<-p.Done()
		ended()
		_ = d.master.SetReadDeadline(time.Now()) // an error means that read has ended
		<-read
		_, _ = t.out.Write([]byte(toll.Explain(p.ExitCode())))
		t.finish(p.ExitCode())
	}()
	return nil
}

// read passes on what programs write, until the shell has ended.
func (t *terminal) read(d *device) {
	buf := make([]byte, 8<<10)
	sink := func(p []byte) { _, _ = t.out.Write(p) }
	for {
		n, err := d.master.Read(buf)
		sink(buf[:n])
		if err == nil {
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && d.master.SetReadDeadline(time.Time{}) == nil {
			d.drain(buf, maxDrained, sink)
		}
		return
	}
}

func (t *terminal) finish(code int) {
	t.mu.Lock()
	t.over = true
	if t.device != nil {
		t.device.close()
		t.device = nil
	}
	t.mu.Unlock()
	t.code = code
	t.in.close()
	close(t.done)
	t.out.close()
}

// kill ends the shell and all that it has started. ended is as for start.
func (t *terminal) kill(ended func()) {
	t.mu.Lock()
	shell, over := t.shell, t.over
	if shell == nil {
		t.over = true
	}
	t.mu.Unlock()
	switch {
	case shell != nil:
		shell.KillTree(0)
	case !over:
		ended()
		t.finish(killed)
	}
}

// resize sets the size, also of one that has not started.
func (t *terminal) resize(s size) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return t.endedError()
	}
	if t.device != nil {
		if err := t.device.resize(s); err != nil {
			return err
		}
	}
	t.size = s
	return nil
}
