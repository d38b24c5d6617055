package daytona

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/coder/websocket"
)

// Process runs commands and code in a sandbox.
type Process struct{ sandbox *Sandbox }

// ExecuteOptions of a command or of code.
type ExecuteOptions struct {
	Cwd     string            // "" is the sandbox's working directory
	Env     map[string]string // added to the sandbox's
	Timeout time.Duration     // 0 is none; whole seconds count
}

func (o ExecuteOptions) seconds() *int64 {
	if o.Timeout <= 0 {
		return nil
	}
	n := int64((o.Timeout + time.Second - 1) / time.Second)
	return &n
}

// ExecuteResponse is the end of a command: what it wrote to stdout and stderr,
// together, and its exit code.
type ExecuteResponse struct {
	ExitCode  int        `json:"exitCode"`
	Result    string     `json:"result"`
	Artifacts *Artifacts `json:"artifacts,omitempty"`
}

// Artifacts are what code showed besides text: for each figure that matplotlib
// showed its data, and the picture as PNG in base64 ("png").
type Artifacts struct {
	Charts []map[string]any `json:"charts"`
}

// ExecuteCommand runs a shell command to its end. A command that fails is no
// error; look at ExitCode. Errors: ErrTimeout.
func (p *Process) ExecuteCommand(ctx context.Context, command string, o ExecuteOptions) (*ExecuteResponse, error) {
	var out ExecuteResponse
	err := p.sandbox.call(ctx, request{method: http.MethodPost, url: "/process/execute", body: map[string]any{
		"command": command, "cwd": o.Cwd, "envs": o.Env, "timeout": o.seconds(),
	}}, &out)
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// languageLabel keeps a sandbox's language, for every official SDK.
const languageLabel = "code-toolbox-language"

// CodeRun runs code to its end. language is python, javascript or typescript; ""
// is the sandbox's own, else python. Code that fails is no error; look at
// ExitCode. It starts in the working directory; o.Cwd is not for it. Errors:
// ErrInvalid when the image lacks the interpreter, ErrTimeout.
func (p *Process) CodeRun(ctx context.Context, language, code string, argv []string, o ExecuteOptions) (*ExecuteResponse, error) {
	if language == "" {
		language = first(p.sandbox.Labels[languageLabel], "python")
	}
	var out ExecuteResponse
	err := p.sandbox.call(ctx, request{method: http.MethodPost, url: "/process/code-run", body: map[string]any{
		"language": language, "code": code, "argv": argv, "envs": o.Env, "timeout": o.seconds(),
	}}, &out)
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// Session is a shell that keeps its state between commands.
type Session struct {
	SessionID string    `json:"sessionId"`
	Commands  []Command `json:"commands"`
}

// Command is one command of a session.
type Command struct {
	ID       string `json:"id"`
	Command  string `json:"command"`
	ExitCode *int   `json:"exitCode"` // nil while it runs
}

// CreateSession starts a shell. Errors: ErrConflict when there is one of that id.
func (p *Process) CreateSession(ctx context.Context, id string) error {
	return p.sandbox.call(ctx, request{method: http.MethodPost, url: "/process/session", body: map[string]string{"sessionId": id}}, nil)
}

// GetSession tells of a session and its commands. Errors: ErrNotFound.
func (p *Process) GetSession(ctx context.Context, id string) (*Session, error) {
	var out Session
	if err := p.sandbox.call(ctx, request{method: http.MethodGet, url: sessionPath(id)}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// ListSessions tells of all sessions.
func (p *Process) ListSessions(ctx context.Context) ([]Session, error) {
	var out []Session
	err := p.sandbox.call(ctx, request{method: http.MethodGet, url: "/process/session"}, &out)
	return out, err
}

// DeleteSession ends a session and what it runs. Errors: ErrNotFound.
func (p *Process) DeleteSession(ctx context.Context, id string) error {
	return p.sandbox.call(ctx, request{method: http.MethodDelete, url: sessionPath(id)}, nil)
}

// SessionExecuteRequest is a command for a session.
type SessionExecuteRequest struct {
	Command           string `json:"command"`
	RunAsync          bool   `json:"runAsync"` // answer at once, with the command's id only
	SuppressInputEcho bool   `json:"suppressInputEcho"`
}

// SessionExecuteResponse is a command that ended, or with RunAsync one that began.
type SessionExecuteResponse struct {
	CmdID    string `json:"cmdId"`
	Output   string `json:"output"`
	Stdout   string `json:"stdout"`
	Stderr   string `json:"stderr"`
	ExitCode *int   `json:"exitCode"`
}

// ExecuteSessionCommand runs a command in a session's shell.
func (p *Process) ExecuteSessionCommand(ctx context.Context, session string, r SessionExecuteRequest) (*SessionExecuteResponse, error) {
	var out SessionExecuteResponse
	if err := p.sandbox.call(ctx, request{method: http.MethodPost, url: sessionPath(session) + "/exec", body: r}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// GetSessionCommand tells of one command. Errors: ErrNotFound.
func (p *Process) GetSessionCommand(ctx context.Context, session, command string) (*Command, error) {
	var out Command
	if err := p.sandbox.call(ctx, request{method: http.MethodGet, url: commandPath(session, command)}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// SessionCommandLogs is what a command has written so far.
type SessionCommandLogs struct {
	Output string `json:"output"`
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
}

// GetSessionCommandLogs returns what a command has written so far.
func (p *Process) GetSessionCommandLogs(ctx context.Context, session, command string) (*SessionCommandLogs, error) {
	var out SessionCommandLogs
	if err := p.sandbox.call(ctx, request{method: http.MethodGet, url: commandPath(session, command) + "/logs"}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// SendSessionCommandInput writes to the stdin of a command that runs.
func (p *Process) SendSessionCommandInput(ctx context.Context, session, command, data string) error {
	return p.sandbox.call(ctx, request{method: http.MethodPost, url: commandPath(session, command) + "/input", body: map[string]string{"data": data}}, nil)
}

// FollowSessionCommandLogs copies what a command writes, from its beginning, to
// stdout and stderr until it ends.
func (p *Process) FollowSessionCommandLogs(ctx context.Context, session, command string, stdout, stderr io.Writer) error {
	ws, address, err := p.sandbox.webSocket(ctx, commandPath(session, command)+"/logs?follow=true")
	if err != nil {
		return err
	}
	defer ws.CloseNow()
	split := splitter{stdout: stdout, stderr: stderr}
	for {
		_, b, err := ws.Read(ctx)
		switch {
		case err == nil:
			if err := split.write(b); err != nil {
				return fmt.Errorf("pass logs on: %w", err)
			}
		case websocket.CloseStatus(err) == websocket.StatusNormalClosure:
			return split.end()
		case ctx.Err() != nil:
			return errors.Join(split.end(), fmt.Errorf("follow logs: %w", ctx.Err()))
		default:
			// Also when the server goes away: the command has not ended by that.
			return errors.Join(split.end(), &Error{
				Code: "LOGS_BROKE_OFF", Method: http.MethodGet, URL: address, cause: err,
				Message: fmt.Sprintf("The connection to the logs broke off (%v): the command may go on; ask for its logs again.", err),
			})
		}
	}
}

// splitter takes the byte stream of followed logs apart: 01 01 01 begins a run
// of stdout, 02 02 02 one of stderr.
type splitter struct {
	stdout, stderr io.Writer
	to             io.Writer
	held           []byte // the beginning of what may be a mark
}

func (s *splitter) write(b []byte) error {
	b = append(s.held, b...)
	s.held = nil
	for len(b) > 0 {
		i := 0
		for i < len(b) && b[i] != 1 && b[i] != 2 {
			i++
		}
		if err := s.put(b[:i]); err != nil {
			return err
		}
		b = b[i:]
		run := 0
		for run < len(b) && run < 3 && b[run] == b[0] {
			run++
		}
		switch {
		case len(b) == 0:
		case run == 3 && b[0] == 1:
			s.to, b = s.stdout, b[3:]
		case run == 3:
			s.to, b = s.stderr, b[3:]
		case run == len(b):
			s.held = append(s.held, b...)
			return nil
		default:
			if err := s.put(b[:run]); err != nil {
				return err
			}
			b = b[run:]
		}
	}
	return nil
}

func (s *splitter) put(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if s.to == nil {
		s.to = s.stdout
	}
	_, err := s.to.Write(b)
	return err
}

func (s *splitter) end() error { return s.put(s.held) }

func sessionPath(id string) string { return "/process/session/" + url.PathEscape(id) }

func commandPath(session, command string) string {
	return sessionPath(session) + "/command/" + url.PathEscape(command)
}
