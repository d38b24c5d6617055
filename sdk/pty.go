package daytona

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// PtyOptions of a new terminal.
type PtyOptions struct {
	Cwd  string            // "" is the sandbox's working directory
	Env  map[string]string // added to the sandbox's; TERM is xterm-256color unless given
	Cols int               // 0 is 80; at most 1000
	Rows int               // 0 is 24; at most 1000
	// Lazy starts the shell when the first client connects. It is for
	// CreatePtySession only.
	Lazy bool
}

// PtySession is a terminal of a sandbox.
type PtySession struct {
	ID        string            `json:"id"`
	Cwd       string            `json:"cwd"`
	Envs      map[string]string `json:"envs"`
	Cols      int               `json:"cols"`
	Rows      int               `json:"rows"`
	CreatedAt time.Time         `json:"createdAt"`
	Active    bool              `json:"active"` // false for a lazy one that has not started
	LazyStart bool              `json:"lazyStart"`
}

// CreatePtySession makes a terminal without connecting to it. Errors: ErrConflict
// when there is one of that id; ErrInvalid.
func (p *Process) CreatePtySession(ctx context.Context, id string, o PtyOptions) error {
	return p.sandbox.call(ctx, request{method: http.MethodPost, url: "/process/pty", body: map[string]any{
		"id": id, "cwd": o.Cwd, "envs": o.Env, "cols": o.Cols, "rows": o.Rows, "lazyStart": o.Lazy,
	}}, nil)
}

// ListPtySessions tells of all terminals whose shell has not ended.
func (p *Process) ListPtySessions(ctx context.Context) ([]PtySession, error) {
	var out struct {
		Sessions []PtySession `json:"sessions"`
	}
	err := p.sandbox.call(ctx, request{method: http.MethodGet, url: "/process/pty"}, &out)
	return out.Sessions, err
}

// GetPtySession tells of a terminal. Errors: ErrNotFound, also when its shell has
// ended.
func (p *Process) GetPtySession(ctx context.Context, id string) (*PtySession, error) {
	var out PtySession
	if err := p.sandbox.call(ctx, request{method: http.MethodGet, url: ptyPath(id)}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// ResizePtySession sets a terminal's size and tells its programs. Errors: ErrInvalid;
// ErrGone when there is no such terminal.
func (p *Process) ResizePtySession(ctx context.Context, id string, cols, rows int) (*PtySession, error) {
	var out PtySession
	err := p.sandbox.call(ctx, request{method: http.MethodPost, url: ptyPath(id) + "/resize", body: map[string]int{"cols": cols, "rows": rows}}, &out)
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// KillPtySession ends a terminal and all that it has started. Errors: ErrNotFound.
func (p *Process) KillPtySession(ctx context.Context, id string) error {
	return p.sandbox.call(ctx, request{method: http.MethodDelete, url: ptyPath(id)}, nil)
}

func ptyPath(id string) string { return "/process/pty/" + url.PathEscape(id) }

// Pty is a connection to a terminal: Read returns what programs write, Write types.
// One goroutine may read while others write. A connection that does not read while
// programs write much is closed by the server.
type Pty struct {
	ID string

	process *Process
	conn    *websocket.Conn
	address string
	ctx     context.Context // the connection's
	unread  []byte
	exit    *PtyExit
	err     error
}

// PtyExit tells how the shell of a terminal ended.
type PtyExit struct {
	Code   int    `json:"exitCode"`   // 128+n when signal n ended it
	Reason string `json:"exitReason"` // "" when Code is 0
}

// ErrTerminalLost is that the connection to a terminal broke off. The terminal goes
// on: connect again.
var ErrTerminalLost = errors.New("the connection to the terminal broke off")

const (
	exitControl = "X-Daytona-Pty-Exit-Control"
	ptyEnvs     = "X-Daytona-Pty-Envs~"
)

// CreatePty makes a terminal and connects to it, until ctx ends. Errors: as
// CreatePtySession.
func (p *Process) CreatePty(ctx context.Context, id string, o PtyOptions) (*Pty, error) {
	query := url.Values{"id": {id}}
	if o.Cwd != "" {
		query.Set("cwd", o.Cwd)
	}
	for name, n := range map[string]int{"cols": o.Cols, "rows": o.Rows} {
		if n != 0 {
			query.Set(name, strconv.Itoa(n))
		}
	}
	offered := []string{exitControl}
	if len(o.Env) > 0 {
		env, err := json.Marshal(o.Env)
		if err != nil {
			return nil, fmt.Errorf("encode the terminal's variables: %w", err)
		}
		offered = append(offered, ptyEnvs+base64.RawURLEncoding.EncodeToString(env))
	}
	return p.openPty(ctx, id, "/process/pty/create-connect?"+query.Encode(), offered...)
}

// ConnectPty connects to a terminal, until ctx ends. Who comes to one that was in use
// gets the end of its former output first. Errors: ErrNotFound.
func (p *Process) ConnectPty(ctx context.Context, id string) (*Pty, error) {
	return p.openPty(ctx, id, ptyPath(id)+"/connect", exitControl)
}

func (p *Process) openPty(ctx context.Context, id, route string, offered ...string) (*Pty, error) {
	conn, address, err := p.sandbox.webSocket(ctx, route, offered...)
	if err != nil {
		return nil, err
	}
	t := &Pty{ID: id, process: p, conn: conn, address: address, ctx: ctx}
	said, err := t.next() // the first message tells whether the terminal is there
	if err == nil && said != nil {
		err = t.lost(errors.New("output comes before the terminal is connected"))
	}
	if err != nil {
		conn.CloseNow()
		if _, why := p.GetPtySession(ctx, id); why != nil {
			return nil, why // with its status
		}
		return nil, err
	}
	return t, nil
}

// next returns the next output, or nil for a message about the terminal.
func (t *Pty) next() ([]byte, error) {
	kind, b, err := t.conn.Read(t.ctx)
	if err != nil {
		return nil, t.ended(err)
	}
	if kind == websocket.MessageBinary {
		return b, nil
	}
	var said struct {
		Type, Status, Error string
		PtyExit
	}
	if json.Unmarshal(b, &said) != nil || said.Type != "control" {
		return b, nil
	}
	switch said.Status {
	case "exited":
		t.exit = &said.PtyExit
	case "error":
		return nil, &Error{Code: "TERMINAL_UNAVAILABLE", Method: http.MethodGet, URL: t.address, Message: said.Error}
	}
	return nil, nil
}

// ended is what the end of the connection means.
func (t *Pty) ended(err error) error {
	var closed websocket.CloseError
	if t.exit == nil && errors.As(err, &closed) && closed.Reason != "" {
		var said struct {
			Code   *int   `json:"exitCode"`
			Reason string `json:"exitReason"`
		}
		if json.Unmarshal([]byte(closed.Reason), &said) == nil && said.Code != nil {
			t.exit = &PtyExit{Code: *said.Code, Reason: said.Reason}
		}
	}
	switch {
	case t.exit != nil:
		return io.EOF
	case t.ctx.Err() != nil:
		return fmt.Errorf("terminal %s: %w", t.ID, t.ctx.Err())
	}
	return t.lost(err)
}

func (t *Pty) lost(err error) error {
	return fmt.Errorf("terminal %s: %w: %w", t.ID, ErrTerminalLost, err)
}

// Read implements io.Reader. It returns io.EOF when the shell has ended; look at Exit.
// Errors: ErrTerminalLost.
func (t *Pty) Read(p []byte) (int, error) {
	for len(t.unread) == 0 && t.err == nil {
		t.unread, t.err = t.next()
	}
	if len(t.unread) == 0 {
		return 0, t.err
	}
	n := copy(p, t.unread)
	t.unread = t.unread[n:]
	return n, nil
}

// maxTyped is how much official servers take in one message, in bytes.
const maxTyped = 64 << 10

// Write implements io.Writer: it types p. A program that reads nothing makes it wait
// after a megabyte.
func (t *Pty) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		n := min(len(p), maxTyped)
		if err := t.conn.Write(t.ctx, websocket.MessageBinary, p[:n]); err != nil {
			return written, t.lost(err)
		}
		written += n
		p = p[n:]
	}
	return written, nil
}

// Exit tells how the shell ended, when Read has returned io.EOF.
func (t *Pty) Exit() (exit PtyExit, ended bool) {
	if t.exit == nil {
		return PtyExit{}, false
	}
	return *t.exit, true
}

// Resize sets the terminal's size and tells its programs.
func (t *Pty) Resize(ctx context.Context, cols, rows int) error {
	_, err := t.process.ResizePtySession(ctx, t.ID, cols, rows)
	return err
}

// Kill ends the terminal and all that it has started.
func (t *Pty) Kill(ctx context.Context) error { return t.process.KillPtySession(ctx, t.ID) }

// Close leaves the terminal, which goes on.
func (t *Pty) Close() error {
	t.conn.CloseNow() // an error is that it is closed already
	return nil
}
