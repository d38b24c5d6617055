package interpreter

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opendaytona/daytona/internal/toolbox/launch"
)

// maxWaiting is how many runs may wait for each other in a context: the agent
// holds their code.
const maxWaiting = 64

var (
	errDeleted = errors.New("the context was deleted")
	errBusy    = errors.New("too much code waits in this context: wait for some of it, or use another context")
)

// codeContext is a context of code. Its process is started when it is needed, and again after
// it has ended.
type codeContext struct {
	launcher *launch.Launcher
	id       string
	dir      string
	created  time.Time

	turn    chan struct{} // held by the run that goes on; its waiters are served in order
	waiting atomic.Int32
	deleted context.Context // ends with the context
	delete  context.CancelFunc

	mu     sync.Mutex
	worker *worker // nil before the first one
}

func newContext(l *launch.Launcher, id, dir string) *codeContext {
	c := &codeContext{launcher: l, id: id, dir: dir, created: time.Now(), turn: make(chan struct{}, 1)}
	c.deleted, c.delete = context.WithCancel(context.Background())
	return c
}

func (c *codeContext) view() view {
	c.mu.Lock()
	defer c.mu.Unlock()
	return view{ID: c.id, Cwd: c.dir, CreatedAt: c.created, Active: c.worker != nil && c.worker.alive(), Language: "python"}
}

// take waits for the context's turn; the returned function gives it back.
func (c *codeContext) take() (release func(), err error) {
	if c.waiting.Add(1) > maxWaiting {
		c.waiting.Add(-1)
		return nil, errBusy
	}
	defer c.waiting.Add(-1)
	select {
	case c.turn <- struct{}{}:
	case <-c.deleted.Done():
		return nil, errDeleted
	}
	release = func() { <-c.turn }
	if c.deleted.Err() != nil {
		release()
		return nil, errDeleted
	}
	return release, nil
}

// warm starts the process if there is none.
func (c *codeContext) warm(ctx context.Context) error {
	release, err := c.take()
	if err != nil {
		return err
	}
	defer release()
	_, err = c.ready(ctx)
	return err
}

// ready returns a process that can run code. The caller holds the turn.
func (c *codeContext) ready(ctx context.Context) (*worker, error) {
	c.mu.Lock()
	w := c.worker
	c.mu.Unlock()
	if w != nil && w.alive() {
		return w, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.deleted, cancel)()
	w, err := startWorker(ctx, c.launcher, c.dir)
	if c.deleted.Err() != nil {
		if w != nil {
			w.kill()
		}
		return nil, errDeleted
	}
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.worker = w
	c.mu.Unlock()
	return w, nil
}

// run runs code in its turn.
func (c *codeContext) run(t task, to *client) outcome {
	release, err := c.take()
	if err != nil {
		return outcome{err: err}
	}
	defer release()
	c.mu.Lock()
	former := c.worker
	c.mu.Unlock()
	w, err := c.ready(c.deleted)
	if err != nil {
		return outcome{err: err}
	}
	if former != nil && former != w && !former.blamed {
		to.output(stderr, []byte("[the context's Python process "+former.end()+" since the last run; this is a new one, without its variables]\n"))
	}
	return w.run(c.deleted, t, to)
}

// end ends the process with everything it has started.
func (c *codeContext) end() {
	c.delete()
	c.turn <- struct{}{} // what runs has been ended
	c.mu.Lock()
	w := c.worker
	c.mu.Unlock()
	if w != nil {
		w.close()
	}
	<-c.turn
}
