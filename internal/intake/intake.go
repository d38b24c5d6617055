// Package intake gives the bodies of requests to handlers as long as there is room
// for what they bring. It imports only package space of the project; objectstore and
// image/hosted say how much room there is, and how to say that there is none.
package intake

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/opendaytona/daytona/internal/space"
)

// lookEvery is how much is read between two looks at the room that is left.
const lookEvery = 1 << 20

// Intake bounds what one request brings.
type Intake struct {
	Dir string // to which it is written; its filesystem keeps space.Reserve
	// Take is told of bytes that came, and fails when there is no more room.
	Take func(n int64) error
	// Keep is called before the handler's answer says that it is stored; nil for what
	// may be lost.
	Keep func() error
	// Refuse answers, in place of the handler, for a body that was ended, and for one
	// that Keep failed for.
	Refuse func(w http.ResponseWriter, reason error)
}

// Serve has next answer r. The reason is nil unless the body was ended before its
// end: space.ErrLow, the error of Take, or the cause that ended the context of r.
func (i Intake) Serve(next http.Handler, w http.ResponseWriter, r *http.Request) (reason error) {
	b := &body{ReadCloser: r.Body, intake: i, ctx: r.Context()}
	r.Body = b
	next.ServeHTTP(&answer{ResponseWriter: w, body: b}, r)
	return b.ended
}

// body is one that ends when there is no room for it.
type body struct {
	io.ReadCloser
	intake Intake
	ctx    context.Context
	since  int64 // bytes, after the last look
	ended  error
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.ended != nil {
		return 0, b.ended
	}
	n, err := b.ReadCloser.Read(p)
	if b.since += int64(n); b.since >= lookEvery || err != nil && b.since > 0 {
		b.ended = b.intake.look(b.since)
		b.since = 0
	}
	// A client that has gone needs no other answer than the handler's.
	if cause := context.Cause(b.ctx); err != nil && err != io.EOF && cause != nil && !errors.Is(cause, context.Canceled) { //nolint:errorlint // readers return it bare
		b.ended = cause
	}
	if b.ended != nil {
		return 0, b.ended
	}
	return n, err
}

func (i Intake) look(n int64) error {
	if err := i.Take(n); err != nil {
		return err
	}
	return space.Require(i.Dir, 0, space.Reserve)
}

// answer replaces what the handler says of a body that was ended.
type answer struct {
	http.ResponseWriter
	body     *body
	begun    bool
	replaced bool
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	switch {
	case a.replaced:
	case a.body.ended != nil && !a.begun:
		a.replaced = true
		a.body.intake.Refuse(a.ResponseWriter, a.body.ended)
	case a.body.intake.Keep != nil && !a.begun && status >= 200 && status < http.StatusMultipleChoices:
		if err := a.body.intake.Keep(); err != nil {
			a.replaced = true
			a.body.intake.Refuse(a.ResponseWriter, err)
			return
		}
		a.begun = true
		a.ResponseWriter.WriteHeader(status)
	default:
		a.begun = a.begun || status >= 200
		a.ResponseWriter.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	if a.replaced {
		return len(p), nil
	}
	return a.ResponseWriter.Write(p)
}
