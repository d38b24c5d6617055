// Package fault holds the kinds of failure that every noun shares, so that an
// adapter can tell people what went wrong without knowing the noun. How a kind
// is answered is the adapter's: httperror knows the HTTP statuses.
package fault

import (
	"context"
	"errors"
	"time"
)

// Kind says whose move it is after a failure.
type Kind int

// The kinds.
const (
	KindInvalid      Kind = iota + 1 // the request can never work as it is
	KindQuota                        // more than the organization may have
	KindUnauthorized                 // no credential, or a bad one
	KindForbidden                    // the credential lacks a permission
	KindNotFound                     // not there, or not the caller's
	KindConflict                     // not in the present state
	KindTooLarge                     // the request body is too big
	KindUnavailable                  // would work at another time
	KindTimeout                      // the request itself took too long to come
	KindNoSpace                      // the server has no room for it
	KindNoAnswer                     // a program of the user's does not answer
)

// Error is a failure that may be shown to people.
type Error struct {
	Kind    Kind
	Code    string // SCREAMING_SNAKE, for programs
	Message string // one sentence that says what to do
	Field   string // the request field to blame, "" for none
	// RetryAfter is when to try again, of KindUnavailable; 0 where nobody knows.
	RetryAfter time.Duration
	Err        error // the cause, for the log only; may be nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// Invalid blames a request field ("" for the request as a whole).
func Invalid(field, message string) *Error {
	return &Error{Kind: KindInvalid, Code: "BAD_REQUEST", Field: field, Message: message}
}

// Quota says which limit would be exceeded; the message names the quota, what
// is used and what was asked.
func Quota(message string) *Error {
	return &Error{Kind: KindQuota, Code: "QUOTA_EXCEEDED", Message: message}
}

// Unauthorized says that the credential is missing or bad.
func Unauthorized(message string) *Error {
	return &Error{Kind: KindUnauthorized, Code: "UNAUTHORIZED", Message: message}
}

// Forbidden says what the credential lacks.
func Forbidden(code, message string) *Error {
	return &Error{Kind: KindForbidden, Code: code, Message: message}
}

// NotFound says that something is not there, or is not the caller's.
func NotFound(code, message string) *Error {
	return &Error{Kind: KindNotFound, Code: code, Message: message}
}

// Conflict says that the present state does not allow it.
func Conflict(code, message string) *Error {
	return &Error{Kind: KindConflict, Code: code, Message: message}
}

// TooLarge says that the request body is over its limit.
func TooLarge(message string) *Error {
	return &Error{Kind: KindTooLarge, Code: "PAYLOAD_TOO_LARGE", Message: message}
}

// Unavailable says that it would work at another time.
func Unavailable(code, message string) *Error {
	return &Error{Kind: KindUnavailable, Code: code, Message: message}
}

// Timeout says that the request did not come in time.
func Timeout(message string) *Error {
	return &Error{Kind: KindTimeout, Code: "REQUEST_TIMEOUT", Message: message}
}

// NoAnswer says that a program in a sandbox does not answer.
func NoAnswer(code, message string) *Error {
	return &Error{Kind: KindNoAnswer, Code: code, Message: message}
}

// Is reports whether err is, or wraps, an Error of the kind.
func Is(err error, kind Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == kind
}

// Ended is the fault because of which ctx was ended before its work was done. It is
// nil for a context that goes on, or ended otherwise, as when a client goes.
func Ended(ctx context.Context) error {
	if e, ok := errors.AsType[*Error](context.Cause(ctx)); ok {
		return e
	}
	return nil
}
