// Package httperror answers HTTP requests with the error envelope of the API:
// the one place that knows which status a kind of failure has. The API, the
// gateway to sandboxes and the server's own routes all answer by it.
package httperror

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/fault"
)

// statuses are the HTTP statuses of the kinds of failure.
var statuses = map[fault.Kind]int{
	fault.KindInvalid:      http.StatusBadRequest,
	fault.KindQuota:        http.StatusBadRequest,
	fault.KindUnauthorized: http.StatusUnauthorized,
	fault.KindForbidden:    http.StatusForbidden,
	fault.KindNotFound:     http.StatusNotFound,
	fault.KindConflict:     http.StatusConflict,
	fault.KindTooLarge:     http.StatusRequestEntityTooLarge,
	fault.KindUnavailable:  http.StatusServiceUnavailable,
	fault.KindTimeout:      http.StatusRequestTimeout,
	fault.KindNoSpace:      http.StatusInsufficientStorage,
	fault.KindNoAnswer:     http.StatusBadGateway,
}

// Status is the HTTP status of a kind of failure; 500 of any other.
func Status(k fault.Kind) int {
	if status, ok := statuses[k]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// Of is the envelope of a failure. Write completes it.
func Of(f *fault.Error) *api.Error {
	return &api.Error{StatusCode: Status(f.Kind), Code: f.Code, Message: f.Message}
}

// Complete adds what every envelope has: the name of its status, the path, the
// time and, unless it is set, the API as the source.
func Complete(e *api.Error, path string) {
	e.Err = http.StatusText(e.StatusCode)
	e.Path = path
	e.Timestamp = time.Now().UTC().Format(time.RFC3339Nano)
	if e.Source == "" {
		e.Source = api.SourceAPI
	}
}

// Write completes the envelope and answers with it.
func Write(w http.ResponseWriter, e *api.Error, path string) {
	Complete(e, path)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.StatusCode)
	_ = json.NewEncoder(w).Encode(e) // to a client that may have gone
}

// SetRetryAfter tells clients when to try again, in whole seconds; with 0 nothing.
func SetRetryAfter(h http.Header, after time.Duration) {
	if after > 0 {
		h.Set("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
	}
}

// Refuse answers a request with a failure.
func Refuse(w http.ResponseWriter, r *http.Request, f *fault.Error) {
	SetRetryAfter(w.Header(), f.RetryAfter)
	Write(w, Of(f), r.URL.Path)
}

// BearerToken is the credential of an Authorization header, "" for none.
func BearerToken(header string) string {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
