package daytona

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/coder/websocket"
)

// CodeInterpreter runs Python code in contexts, each of which keeps its variables,
// imports and functions from one run to the next. Code of other languages, and code
// that draws charts, is for Process.CodeRun.
type CodeInterpreter struct{ sandbox *Sandbox }

// InterpreterContext is a context.
type InterpreterContext struct {
	ID        string    `json:"id"`
	Cwd       string    `json:"cwd"`
	CreatedAt time.Time `json:"createdAt"`
	Active    bool      `json:"active"` // its Python process runs; the next run starts one otherwise
	Language  string    `json:"language"`
}

// RunCodeOptions of a run.
type RunCodeOptions struct {
	ContextID string            // "" is the sandbox's default context
	Env       map[string]string // for this run alone
	Timeout   time.Duration     // 0 is ten minutes, less is none; whole seconds count
	OnStdout  func(text string) // is given each piece as it comes
	OnStderr  func(text string) // likewise
	OnError   func(ExecutionError)
}

func (o RunCodeOptions) seconds() *int64 {
	var n int64
	switch {
	case o.Timeout == 0:
		return nil
	case o.Timeout > 0:
		n = int64((o.Timeout + time.Second - 1) / time.Second)
	}
	return &n
}

// ExecutionResult is what code has printed, and the exception that ended it.
type ExecutionResult struct {
	Stdout string
	Stderr string
	Error  *ExecutionError // nil when there was none
}

// ExecutionError is an exception of the code, or the end of its Python process.
type ExecutionError struct {
	Name      string // of the exception's class
	Value     string
	Traceback string
}

// Error implements error.
func (e *ExecutionError) Error() string { return e.Name + ": " + e.Value }

// RunCode runs Python code in a context, after the runs that wait there already.
// Code that raises is no error; look at the result. Errors: ErrTimeout when it was
// interrupted by the timeout, with what it had printed until then, and the context's
// state stays; ErrGone when the context was deleted meanwhile; ErrInvalid for a
// context that does not exist.
func (c *CodeInterpreter) RunCode(ctx context.Context, code string, o RunCodeOptions) (*ExecutionResult, error) {
	ws, address, err := c.sandbox.webSocket(ctx, "/process/interpreter/execute")
	if err != nil {
		return nil, err
	}
	defer ws.CloseNow()
	request, err := json.Marshal(map[string]any{"code": code, "contextId": o.ContextID, "envs": o.Env, "timeout": o.seconds()})
	if err != nil {
		return nil, fmt.Errorf("encode the code: %w", err)
	}
	// A refusal of what was sent comes as the reason of the end.
	sent := ws.Write(ctx, websocket.MessageText, request)
	var out ExecutionResult
	for {
		_, b, err := ws.Read(ctx)
		if err != nil {
			return c.ended(ctx, address, &out, err, sent)
		}
		var m struct{ Type, Text, Name, Value, Traceback string }
		if err := json.Unmarshal(b, &m); err != nil {
			return &out, fmt.Errorf("decode a message of the interpreter: %w", err)
		}
		switch m.Type {
		case "stdout":
			out.Stdout += m.Text
			if o.OnStdout != nil {
				o.OnStdout(m.Text)
			}
		case "stderr":
			out.Stderr += m.Text
			if o.OnStderr != nil {
				o.OnStderr(m.Text)
			}
		case "error":
			out.Error = &ExecutionError{m.Name, m.Value, m.Traceback}
			if o.OnError != nil {
				o.OnError(*out.Error)
			}
		}
	}
}

// ended makes an error of the way in which the connection ended.
func (c *CodeInterpreter) ended(ctx context.Context, address string, out *ExecutionResult, err, sent error) (*ExecutionResult, error) {
	var closed websocket.CloseError
	if !errors.As(err, &closed) {
		if ctx.Err() != nil {
			return out, fmt.Errorf("run code: %w", ctx.Err())
		}
		return out, &Error{
			Code: "RUN_BROKE_OFF", Method: http.MethodGet, URL: address, cause: errors.Join(sent, err),
			Message: fmt.Sprintf("The connection broke off (%v): the code may go on.", err),
		}
	}
	status := map[websocket.StatusCode]int{
		4008: http.StatusRequestTimeout, 4001: http.StatusRequestTimeout,
		websocket.StatusGoingAway:       http.StatusGone,
		websocket.StatusProtocolError:   http.StatusBadRequest,
		websocket.StatusPolicyViolation: http.StatusBadRequest,
		websocket.StatusMessageTooBig:   http.StatusRequestEntityTooLarge,
		websocket.StatusTryAgainLater:   http.StatusTooManyRequests,
		websocket.StatusInternalError:   http.StatusInternalServerError,
	}[closed.Code]
	if closed.Code == websocket.StatusNormalClosure {
		return out, nil
	}
	return out, &Error{
		StatusCode: status, Code: "RUN_FAILED", Source: "DAYTONA_DAEMON", Method: http.MethodGet, URL: address, cause: err,
		Message: fmt.Sprintf("The code did not run to its end: %s.", first(closed.Reason, closed.Error())),
	}
}

// CreateContext makes a context; cwd "" is the sandbox's working directory. Errors:
// ErrInvalid for a directory that is not there.
func (c *CodeInterpreter) CreateContext(ctx context.Context, cwd string) (*InterpreterContext, error) {
	var out InterpreterContext
	err := c.sandbox.call(ctx, request{method: http.MethodPost, url: "/process/interpreter/context", body: map[string]string{"cwd": cwd}}, &out)
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// ListContexts tells of all contexts but the default one.
func (c *CodeInterpreter) ListContexts(ctx context.Context) ([]InterpreterContext, error) {
	var out struct {
		Contexts []InterpreterContext `json:"contexts"`
	}
	err := c.sandbox.call(ctx, request{method: http.MethodGet, url: "/process/interpreter/context"}, &out)
	return out.Contexts, err
}

// DeleteContext ends a context and what runs in it. Errors: ErrNotFound; ErrInvalid
// for the default one.
func (c *CodeInterpreter) DeleteContext(ctx context.Context, id string) error {
	return c.sandbox.call(ctx, request{method: http.MethodDelete, url: "/process/interpreter/context/" + url.PathEscape(id)}, nil)
}
