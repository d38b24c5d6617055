package a11y

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// patience is how long things may take.
type patience struct {
	// silence is how long a program may answer nothing before it is taken to
	// hang. It is asked for several things at once, so one that is slow still
	// says something.
	silence time.Duration
	// cache is that for the one call that may have much to tell.
	cache time.Duration
	// walk is how long a whole walk may take. What was not reached by then is
	// missing, and the answer says so.
	walk time.Duration
}

var usual = patience{silence: 3 * time.Second, cache: 8 * time.Second, walk: 20 * time.Second}

// errSilent is of calls to a program that does not answer.
var errSilent = errors.New("the program does not answer: it may be busy, or hang")

// silent is the answer when nothing can be said without it.
func silent() error {
	return wire.Errorf(http.StatusServiceUnavailable, wire.A11yUnavailable, "%v: look at the screen, and try again", errSilent)
}

// ref is what D-Bus calls a node by.
type ref struct {
	bus  string
	path dbus.ObjectPath
}

// program is one that has nodes, as one request knows it.
type program struct {
	name   string // on the bus
	conn   *bus
	ctx    context.Context // ends with the request, and when the program is found to hang
	cancel context.CancelCauseFunc

	answered atomic.Int64 // when it last did, as time.Time.UnixNano

	once  sync.Once // loads the cache
	cache map[ref]*item
}

func newProgram(ctx context.Context, conn *bus, name string) *program {
	p := &program{name: name, conn: conn}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	return p
}

// call asks one of the program's objects. D-Bus starts nothing for it: a node's
// id may name any service.
func (p *program) call(path dbus.ObjectPath, method string, args ...any) *dbus.Call {
	return p.patientCall(p.conn.patience.silence, path, method, args...)
}

func (p *program) patientCall(patience time.Duration, path dbus.ObjectPath, method string, args ...any) *dbus.Call {
	if err := p.ctx.Err(); err != nil {
		return &dbus.Call{Err: context.Cause(p.ctx)}
	}
	begun := time.Now()
	call := p.conn.Object(p.name, path).GoWithContext(p.ctx, method, dbus.FlagNoAutoStart, make(chan *dbus.Call, 1), args...)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-call.Done:
			if cause := context.Cause(p.ctx); cause != nil && call.Err != nil {
				return &dbus.Call{Err: cause}
			}
			p.answered.Store(time.Now().UnixNano())
			return call
		case <-timer.C:
			last := time.Unix(0, max(p.answered.Load(), begun.UnixNano()))
			if left := patience - time.Since(last); left > 0 {
				timer.Reset(left)
				continue
			}
			p.cancel(errSilent)
			<-call.Done
			return &dbus.Call{Err: errSilent}
		}
	}
}

// hangs tells whether the program was found to do so.
func (p *program) hangs() bool { return errors.Is(context.Cause(p.ctx), errSilent) }

// children asks for those of an object, at most limit.
func (p *program) children(path dbus.ObjectPath, limit int) (all []ref, complete bool, err error) {
	var count int32
	if err := p.property(path, "ChildCount", &count); err != nil {
		return nil, false, err
	}
	if int(count) > limit {
		// A table with a million cells would make them all.
		return p.firstChildren(path, limit), false, nil
	}
	var list []struct {
		Bus  string
		Path dbus.ObjectPath
	}
	if err := p.call(path, accessible+".GetChildren").Store(&list); err != nil {
		return nil, false, err
	}
	for _, c := range list {
		all = append(all, ref{c.Bus, c.Path})
	}
	return all, true, nil
}

func (p *program) firstChildren(path dbus.ObjectPath, n int) []ref {
	all := make([]ref, n)
	each(n, func(i int) {
		var c struct {
			Bus  string
			Path dbus.ObjectPath
		}
		if p.call(path, accessible+".GetChildAtIndex", int32(i)).Store(&c) == nil {
			all[i] = ref{c.Bus, c.Path}
		}
	})
	return all
}

// property stores a property of an object.
func (p *program) property(path dbus.ObjectPath, name string, value any) error {
	var v dbus.Variant
	if err := p.call(path, properties+".Get", accessible, name).Store(&v); err != nil {
		return err
	}
	return v.Store(value)
}

// atOnce is how many calls wait for their answers at a time.
const atOnce = 32

// each calls f for 0 to n-1, some at a time, and returns when all have returned.
func each(n int, f func(i int)) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(n, atOnce) {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	group.Wait()
}
