// Package wire is how the agent speaks HTTP: the error envelope, JSON bodies in
// both directions and strings of any size inside JSON. It imports only the
// standard library; every room of the agent imports it.
package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

// Source names the agent in error envelopes.
const Source = "DAYTONA_DAEMON"

// Code is a machine-readable reason in an error envelope.
type Code string

// The codes that the agent's rooms use.
const (
	GitAuthFailed           Code = "GIT_AUTH_FAILED"
	GitRepoNotFound         Code = "GIT_REPO_NOT_FOUND"
	GitBranchNotFound       Code = "GIT_BRANCH_NOT_FOUND"
	GitBranchExists         Code = "GIT_BRANCH_EXISTS"
	GitPushRejected         Code = "GIT_PUSH_REJECTED"
	GitDirtyWorktree        Code = "GIT_DIRTY_WORKTREE"
	GitMergeConflict        Code = "GIT_MERGE_CONFLICT"
	GitTransportFailed      Code = "GIT_TRANSPORT_FAILED"
	GitRemoteRejected       Code = "GIT_REMOTE_REJECTED"
	FileNotFound            Code = "FILE_NOT_FOUND"
	FileAccessDenied        Code = "FILE_ACCESS_DENIED"
	InvalidFilePath         Code = "INVALID_FILE_PATH"
	FileReadFailed          Code = "FILE_READ_FAILED"
	LSPServerNotInitialized Code = "LSP_SERVER_NOT_INITIALIZED"
	ProcessExecutionTimeout Code = "PROCESS_EXECUTION_TIMEOUT"
	ProcessNotFound         Code = "PROCESS_NOT_FOUND"
	SessionEnded            Code = "SESSION_ENDED"
	CommandAlreadyCompleted Code = "COMMAND_ALREADY_COMPLETED"
	A11yUnavailable         Code = "A11Y_UNAVAILABLE"
	RecordingStillActive    Code = "RECORDING_STILL_ACTIVE"
	RecordingFFmpegNotFound Code = "RECORDING_FFMPEG_NOT_FOUND"
	BadRequest              Code = "BAD_REQUEST"
	InvalidRequestBody      Code = "INVALID_REQUEST_BODY"
	Forbidden               Code = "FORBIDDEN"
	NotFound                Code = "NOT_FOUND"
	Conflict                Code = "CONFLICT"
	PortClosed              Code = "PORT_CLOSED"
	RequestTimeout          Code = "REQUEST_TIMEOUT"
	Gone                    Code = "GONE"
	Internal                Code = "INTERNAL_SERVER_ERROR"
)

// Error is an answer that is not a success.
type Error struct {
	Status  int
	Code    Code
	Message string // one sentence for people that says what to do
	// Details are more lines, where clients know the message by its words.
	Details []string
}

func (e *Error) Error() string { return e.Message }

// Errorf makes an Error.
func Errorf(status int, code Code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Bad is a 400 with BAD_REQUEST.
func Bad(format string, args ...any) *Error {
	return Errorf(http.StatusBadRequest, BadRequest, format, args...)
}

// Envelope is an Error as it goes over the wire.
type Envelope struct {
	StatusCode int      `json:"statusCode"`
	Message    string   `json:"message"`
	Error      string   `json:"error"`
	Code       Code     `json:"code"`
	Source     string   `json:"source"`
	Path       string   `json:"path"`
	Method     string   `json:"method"`
	Timestamp  string   `json:"timestamp"`
	Errors     []string `json:"errors,omitempty"` // one line per failed item of a bulk request, or Error.Details
}

// NewEnvelope describes err as the answer to r.
func NewEnvelope(r *http.Request, err error) Envelope {
	e := From(err)
	return Envelope{
		StatusCode: e.Status,
		// Clients that print the body as it is show a quotation mark with a backslash.
		Message:   strings.ReplaceAll(e.Message, `"`, "'"),
		Error:     http.StatusText(e.Status),
		Code:      e.Code,
		Source:    Source,
		Path:      r.URL.Path,
		Method:    r.Method,
		Timestamp: time.Now().UTC().Format(time.RFC3339Nano),
		Errors:    e.Details,
	}
}

// Fail answers r with err.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	env := NewEnvelope(r, err)
	if env.StatusCode >= 500 {
		slog.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	JSON(w, env.StatusCode, env)
}

// Handler lets f return its error instead of writing it. f must not return an
// error once it has begun its answer.
func Handler(f func(w http.ResponseWriter, r *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := f(w, r); err != nil {
			Fail(w, r, err)
		}
	})
}

// From finds the Error in err, or the one that an error of the operating
// system stands for.
func From(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return Errorf(http.StatusRequestEntityTooLarge, InvalidRequestBody, "the body is larger than %d bytes", tooLarge.Limit)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return Errorf(http.StatusInsufficientStorage, Internal, "%v: the sandbox's disk is full: delete files or use a larger disk", err)
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM):
		return Errorf(http.StatusServiceUnavailable, Internal, "%v: the sandbox has no memory or process left: end some of its processes", err)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return Errorf(http.StatusServiceUnavailable, Internal, "%v: too many files are open at once: try again later", err)
	case errors.Is(err, os.ErrNotExist):
		return Errorf(http.StatusNotFound, FileNotFound, "%v", err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, os.ErrPermission):
		return Errorf(http.StatusForbidden, FileAccessDenied, "%v", err)
	case errors.Is(err, syscall.ENOTEMPTY): // before ErrExist, which it also is
		return Bad("%v", err)
	case errors.Is(err, os.ErrExist):
		return Errorf(http.StatusConflict, Conflict, "%v", err)
	}
	for _, bad := range []syscall.Errno{
		syscall.EISDIR, syscall.ENOTDIR, syscall.ENAMETOOLONG, syscall.ELOOP, syscall.EINVAL,
		syscall.EBUSY, syscall.ENXIO, syscall.E2BIG, syscall.ETXTBSY, syscall.EFBIG,
	} {
		if errors.Is(err, bad) {
			return Bad("%v", err)
		}
	}
	return Errorf(http.StatusInternalServerError, Internal, "%v", err)
}

// JSON answers with v.
func JSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // only a programming error can make this happen
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that went away needs no answer
}
