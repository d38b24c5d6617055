package httpserver

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/opendaytona/daytona/internal/fault"
)

// How long the bodies of requests may take. Uploads and streams may go on for
// days, but not without a byte.
const (
	wholeBodyTime = 30 * time.Second // of the API's, which are short
	bodyPause     = 5 * time.Minute  // between two parts of any other
	// What the handler did not want, as after a refusal, is waited for only so
	// that a client which sends it now gets to read the answer.
	unwantedBodyTime = 2 * time.Second
)

// timedBody is a request's body whose reads have a deadline.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
	ctx     context.Context
	whole   time.Time // when all of it must be there; zero is never

	mu    sync.Mutex
	ended bool // by its end, or the handler's
}

// TimeBody gives the body of a request its time. end is for the end of the
// handler.
func TimeBody(w http.ResponseWriter, r *http.Request, whole bool) (end func()) {
	if r.Body == nil || r.Body == http.NoBody {
		return func() {}
	}
	b := &timedBody{ReadCloser: r.Body, control: http.NewResponseController(w), ctx: r.Context()}
	if whole {
		b.whole = time.Now().Add(wholeBodyTime)
	}
	// net/http itself reads what is left before it writes an answer.
	b.deadline(time.Now().Add(unwantedBodyTime))
	r.Body = b
	stop := context.AfterFunc(b.ctx, b.abort)
	return func() {
		stop()
		b.unwanted()
	}
}

// abort ends a read that goes on when the request was ended with its key.
func (b *timedBody) abort() {
	if fault.Ended(b.ctx) != nil {
		b.deadline(time.Now())
	}
}

// Read implements io.Reader.
func (b *timedBody) Read(p []byte) (int, error) {
	d := b.whole
	if d.IsZero() {
		d = time.Now().Add(bodyPause)
	}
	b.deadline(d)
	if b.ctx.Err() != nil { // it may have been ended just before
		b.abort()
	}
	n, err := b.ReadCloser.Read(p)
	if ended := fault.Ended(b.ctx); ended != nil && err != nil {
		return n, ended
	}
	if err == io.EOF { //nolint:errorlint // readers return it bare
		// From here on net/http reads to see the client go.
		b.deadline(time.Time{})
		b.end()
	}
	return n, err
}

// Close implements io.Closer. It reads on for a while.
func (b *timedBody) Close() error {
	b.unwanted()
	return b.ReadCloser.Close()
}

// unwanted says that nobody wants the rest.
func (b *timedBody) unwanted() {
	b.deadline(time.Now().Add(unwantedBodyTime))
	b.end()
}

// deadline is for the reads that go on, too. A writer that has none (a test's)
// needs none.
func (b *timedBody) deadline(t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		_ = b.control.SetReadDeadline(t)
	}
}

func (b *timedBody) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
}
