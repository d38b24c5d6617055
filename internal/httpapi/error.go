package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/httperror"
	"github.com/opendaytona/daytona/internal/space"
)

// envelope turns any error into what people see. An error that is no fault is
// ours: the log has it, under the id that the message names.
func (a *API) envelope(ctx context.Context, err error) *api.Error {
	var f *fault.Error
	if errors.As(err, &f) {
		e := httperror.Of(f)
		if start, ok := errors.AsType[*startError](err); ok {
			e.SandboxID = start.sandboxID
		}
		return e
	}
	if ended := fault.Ended(ctx); ended != nil {
		return a.envelope(context.Background(), ended)
	}
	if ctx.Err() != nil {
		return &api.Error{StatusCode: 499, Code: "CANCELED", Message: "The client closed the connection."}
	}
	if space.IsFull(err) {
		a.Log.Warn("no space for a request", "err", err)
		return &api.Error{
			StatusCode: httperror.Status(fault.KindNoSpace), Code: "NO_SPACE",
			Message: "The server's disk is full: delete sandboxes or snapshots, or ask the administrator for more space.",
		}
	}
	id := uuid.NewString()
	a.Log.Error("request failed", "id", id, "err", err)
	return &api.Error{
		StatusCode: http.StatusInternalServerError, Code: "INTERNAL_SERVER_ERROR",
		Message: fmt.Sprintf("The server failed: see its log under %s.", id),
	}
}

func (a *API) toError(ctx context.Context, op operation, err error) error {
	e := &statusError{envelope: a.envelope(ctx, fmt.Errorf("%s: %w", op.id, err))}
	httperror.Complete(e.envelope, from(ctx).path)
	if f, ok := errors.AsType[*fault.Error](err); ok {
		e.retryAfter = f.RetryAfter
	}
	return e
}

// statusError lets huma write the envelope.
type statusError struct {
	envelope   *api.Error
	retryAfter time.Duration // 0 where nobody knows
}

func (e *statusError) Error() string { return e.envelope.Message }

// GetStatus implements huma.StatusError.
func (e *statusError) GetStatus() int { return e.envelope.StatusCode }

// GetHeaders implements huma.HeadersError.
func (e *statusError) GetHeaders() http.Header {
	h := make(http.Header)
	httperror.SetRetryAfter(h, e.retryAfter)
	return h
}

// ContentType implements huma.ContentTypeFilter: ours is plain JSON.
func (e *statusError) ContentType(string) string { return "application/json" }

// MarshalJSON writes the envelope alone.
func (e *statusError) MarshalJSON() ([]byte, error) { return json.Marshal(e.envelope) }

func init() {
	// huma's own errors (validation, bodies too large) get the envelope too.
	// It offers these only as variables of its package.
	huma.NewErrorWithContext = func(hc huma.Context, status int, message string, errs ...error) huma.StatusError {
		if len(errs) == 1 {
			var ours *statusError
			if errors.As(errs[0], &ours) {
				return complete(ours, hc)
			}
		}
		return complete(&statusError{envelope: validation(status, message, errs)}, hc)
	}
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return &statusError{envelope: validation(status, message, errs)}
	}
}

// validation is the envelope of what huma found wrong with a request.
func validation(status int, message string, errs []error) *api.Error {
	e := &api.Error{StatusCode: status, Code: "BAD_REQUEST", Message: message}
	switch status {
	case http.StatusUnprocessableEntity:
		e.StatusCode = http.StatusBadRequest
	case http.StatusRequestEntityTooLarge:
		e.Code, e.Message = "PAYLOAD_TOO_LARGE", fmt.Sprintf("The request body is too large: at most %d bytes are allowed.", maxBody)
	}
	var details []string
	for _, err := range errs {
		var d *huma.ErrorDetail
		if errors.As(err, &d) {
			where := strings.TrimPrefix(strings.TrimPrefix(d.Location, "body."), "query.")
			details = append(details, strings.TrimSpace(where+" "+d.Message))
		} else if err != nil {
			details = append(details, err.Error())
		}
	}
	if len(details) > 0 {
		e.Message = "The request is not valid: " + strings.Join(details, "; ") + "."
	}
	return e
}

func complete(e *statusError, hc huma.Context) *statusError {
	if hc != nil {
		httperror.Complete(e.envelope, from(hc.Context()).path)
	}
	return e
}

// writeError answers with the envelope.
func writeError(w http.ResponseWriter, r *http.Request, e *api.Error) {
	httperror.Write(w, e, from(r.Context()).path)
}

// recover answers for a handler that panicked.
func (a *API) recover(w http.ResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler { //nolint:errorlint // the sentinel itself is thrown
		panic(v)
	}
	writeError(w, r, a.envelope(context.WithoutCancel(r.Context()), fmt.Errorf("panic: %v\n%s", v, debug.Stack())))
}
