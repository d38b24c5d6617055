package interpreter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/opendaytona/daytona/internal/toolbox/upgrade"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// defaultTimeout is that of runs that name none.
const defaultTimeout = 10 * time.Minute

// Close codes by which clients know that the timeout has passed. The Go SDK has one
// of its own.
const (
	statusTimeout   websocket.StatusCode = 4008
	statusTimeoutGo websocket.StatusCode = 4001
)

type request struct {
	Code      string             `json:"code"`
	ContextID string             `json:"contextId"`
	Envs      map[string]*string `json:"envs"` // null takes a variable away
	Timeout   *int64             `json:"timeout"`
}

// refusal closes a connection before anything has run.
type refusal struct {
	code   websocket.StatusCode
	reason string
}

func (r *refusal) Error() string { return r.reason }

func refuse(code websocket.StatusCode, format string, args ...any) *refusal {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// execute runs the code of one request, which is the first message, and sends what
// it prints as it comes.
func (s *Service) execute(w http.ResponseWriter, r *http.Request) {
	conn, err := upgrade.WebSocket(w, r)
	if err != nil {
		return // it is answered
	}
	defer conn.CloseNow()
	conn.SetReadLimit(wire.MaxBody)
	_, text, err := conn.Read(r.Context())
	if err != nil {
		return // it left, or the library has told it what is wrong
	}
	c, t, err := s.accept(text)
	if err != nil {
		closeFor(conn, err)
		return
	}
	to := &client{conn: conn}
	to.ctx, to.leave = context.WithCancel(conn.CloseRead(r.Context()))
	defer to.leave()
	go upgrade.KeepAlive(to.ctx, conn)

	out := c.run(t, to)
	switch {
	case out.err != nil:
		closeFor(conn, out.err)
	case out.timedOut:
		code := statusTimeout
		if r.Header.Get("X-Daytona-Source") == "sdk-go" {
			code = statusTimeoutGo
		}
		reason := fmt.Sprintf("timed out after %s and was interrupted", t.timeout)
		if out.lost != "" {
			reason = fmt.Sprintf("timed out after %s, did not end when interrupted, and was killed: the context's state is lost", t.timeout)
		}
		// No message goes before it: some clients would take the run for a success.
		conn.Close(code, short(reason))
	default:
		if out.lost != "" {
			to.failed(failure{
				name:  "InterpreterEnded",
				value: "the context's Python process " + out.lost + ": its variables are lost, and the next run begins with a new process",
			})
		}
		to.send(message{Type: "control", Text: "completed"})
		conn.Close(websocket.StatusNormalClosure, "")
	}
}

// accept checks a request and finds its context.
func (s *Service) accept(text []byte) (*codeContext, task, error) {
	var req request
	if err := json.Unmarshal(text, &req); err != nil {
		return nil, task{}, refuse(websocket.StatusProtocolError, "invalid request: %s", wire.Explain(err))
	}
	if strings.TrimSpace(req.Code) == "" {
		return nil, task{}, refuse(websocket.StatusPolicyViolation, "code is missing")
	}
	timeout := defaultTimeout
	if req.Timeout != nil {
		const most = 365 * 24 * 60 * 60
		switch n := *req.Timeout; {
		case n < 0:
			return nil, task{}, refuse(websocket.StatusPolicyViolation, "timeout must be a number of seconds, or 0 for none; it is %d", n)
		case n > most:
			timeout = 0
		default:
			timeout = time.Duration(n) * time.Second
		}
	}
	for name, value := range req.Envs {
		if !isVariable(name) || value != nil && strings.ContainsRune(*value, 0) {
			return nil, task{}, refuse(websocket.StatusPolicyViolation, "environment variable %q has a bad name, or a NUL byte in its value", name)
		}
	}
	if req.ContextID == "" {
		req.ContextID = defaultID
	}
	c, err := s.find(req.ContextID)
	if err != nil {
		return nil, task{}, refuse(websocket.StatusPolicyViolation, "%v", err)
	}
	line, err := json.Marshal(map[string]any{"code": req.Code, "envs": req.Envs})
	if err != nil {
		return nil, task{}, fmt.Errorf("encode the code: %w", err)
	}
	return c, task{line: append(line, '\n'), timeout: timeout}, nil
}

func isVariable(name string) bool {
	for i, r := range name {
		letter := r == '_' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}

// closeFor closes a connection whose code did not run to an end.
func closeFor(conn *websocket.Conn, err error) {
	var refused *refusal
	code := websocket.StatusInternalError
	switch {
	case errors.As(err, &refused):
		code = refused.code
	case errors.Is(err, errDeleted):
		code = websocket.StatusGoingAway
	case errors.Is(err, errBusy):
		code = websocket.StatusTryAgainLater
	}
	conn.Close(code, short(err.Error()))
}

// short cuts the reason of a close frame to what one can hold.
func short(reason string) string {
	const most = 123
	if len(reason) <= most {
		return reason
	}
	cut := most - len("…")
	for !utf8.RuneStart(reason[cut]) {
		cut--
	}
	return reason[:cut] + "…"
}
