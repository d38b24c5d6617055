package pty

import (
	"encoding/json"
	"strconv"
)

// killed is the exit code of what SIGKILL ended, as a shell tells it.
const killed = 128 + 9

// exit tells how a shell ended.
type exit struct {
	Code   int    `json:"exitCode"`
	Reason string `json:"exitReason,omitempty"` // clients take it for an error
}

func newExit(code int) exit {
	e := exit{Code: code}
	switch {
	case code == 0:
	case code == 128+2:
		e.Reason = "Ctrl+C"
	case code == killed:
		e.Reason = "SIGKILL"
	case code == 128+15:
		e.Reason = "SIGTERM"
	case code > 128:
		e.Reason = "signal " + strconv.Itoa(code-128)
	default:
		e.Reason = "non-zero exit"
	}
	return e
}

// control is a message about the terminal and not of it. Clients know no other
// status than these.
type control struct {
	Type   string `json:"type"`
	Status string `json:"status"` // connected, exited or error
	*exit
	Error string `json:"error,omitempty"`
}

func text(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // only a programming error can make this happen
		panic(err)
	}
	return b
}
