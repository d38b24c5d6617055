// Package api holds the wire types of the control-plane API and its error
// envelope, shared by the server, the Go SDK and the CLI. It has no logic and
// imports only the standard library. Names of JSON fields are those of the
// published API; fields without omitempty are always there.
package api

import (
	"encoding/json"
	"strings"
)

// Error is the body of every response that is not a success.
type Error struct {
	StatusCode int    `json:"statusCode" doc:"HTTP status"`
	Message    string `json:"message" doc:"One sentence that says what to do"`
	Err        string `json:"error" doc:"Name of the status"`
	Code       string `json:"code,omitempty" doc:"Machine-readable reason"`
	Path       string `json:"path"`
	Timestamp  string `json:"timestamp" doc:"RFC 3339"`
	Source     string `json:"source,omitempty" doc:"DAYTONA_API, DAYTONA_DAEMON or DAYTONA_PROXY"`
	SandboxID  string `json:"sandboxId,omitempty" doc:"With the code SANDBOX_START_FAILED, the sandbox, which is kept"`
}

func (e *Error) Error() string { return e.Message }

// MarshalJSON writes the message without quotation marks: clients that print the
// body as it is would show each with a backslash.
func (e Error) MarshalJSON() ([]byte, error) {
	type plain Error // without this method
	e.Message = strings.ReplaceAll(e.Message, `"`, "'")
	return json.Marshal(plain(e))
}

// CodeStartFailed is the Code of an Error that a sandbox did not start.
const CodeStartFailed = "SANDBOX_START_FAILED"

// The services that an Error may come from.
const (
	SourceAPI    = "DAYTONA_API"
	SourceDaemon = "DAYTONA_DAEMON"
	SourceProxy  = "DAYTONA_PROXY"
)

// URL is a place to fetch something from with the same credential.
type URL struct {
	URL string `json:"url"`
}

// Health is the answer of a server that runs.
type Health struct {
	Status string            `json:"status" example:"ok"`
	Checks map[string]string `json:"checks,omitempty" doc:"Of each part: ok, or what is wrong"`
}
