package httpserver

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/httperror"
)

// requestIDHeader names a request in the log, in its answer, and to the agent.
const requestIDHeader = "X-Request-Id"

var requestIDPattern = regexp.MustCompile(`^[a-zA-Z0-9_.\-]{1,64}$`)

// record is one request on its way: what becomes of it, for the log and the
// metrics.
type record struct {
	http.ResponseWriter
	operation string
	status    int
	bytes     int64
}

type recordKey struct{}

// SetOperation names what the request of ctx asks for. httpapi calls it for its
// operations.
func SetOperation(ctx context.Context, name string) {
	if r, ok := ctx.Value(recordKey{}).(*record); ok {
		r.operation = name
	}
}

// recorder wraps all requests: each is counted, measured, logged, and its panic
// answered.
type recorder struct {
	next    http.Handler
	observe func(operation string, status int, took time.Duration)
	log     *slog.Logger
	active  *active
}

// ServeHTTP implements http.Handler.
func (a *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.active.begin()
	defer a.active.end()
	id := r.Header.Get(requestIDHeader)
	if !requestIDPattern.MatchString(id) {
		id = strconv.FormatUint(rand.Uint64(), 36)
		r.Header.Set(requestIDHeader, id)
	}
	w.Header().Set(requestIDHeader, id)
	began := time.Now()
	rec := &record{ResponseWriter: w, operation: "unknown"}
	defer a.finish(rec, r, id, began)
	a.next.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), recordKey{}, rec)))
}

func (a *recorder) finish(rec *record, r *http.Request, id string, began time.Time) {
	v := recover()
	if v != nil && v != http.ErrAbortHandler { //nolint:errorlint // the sentinel itself is thrown
		a.log.Error("panic", "request", id, "err", fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
		if rec.status == 0 {
			httperror.Refuse(rec, r, &fault.Error{Code: "INTERNAL_SERVER_ERROR", Message: "The server failed; its log tells why under " + id + "."})
			v = nil
		}
	}
	if rec.status == 0 {
		rec.status = http.StatusOK // as net/http answers for a handler that wrote nothing
	}
	took := time.Since(began)
	a.observe(rec.operation, rec.status, took)
	if a.log.Enabled(r.Context(), slog.LevelDebug) {
		// Not the query: it may hold signatures and tokens.
		a.log.Debug("request", "request", id, "method", r.Method, "path", r.URL.Path, "operation", rec.operation,
			"status", rec.status, "bytes", rec.bytes, "took", took, "from", r.RemoteAddr)
	}
	if v != nil {
		panic(http.ErrAbortHandler) // net/http closes the connection, which tells the client
	}
}

// WriteHeader implements http.ResponseWriter.
func (r *record) WriteHeader(status int) {
	if r.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *record) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Flush implements http.Flusher.
func (r *record) Flush() {
	if f, ok := r.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

// Hijack implements http.Hijacker.
func (r *record) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := r.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, http.ErrNotSupported
	}
	c, rw, err := h.Hijack()
	if err == nil && r.status == 0 {
		r.status = http.StatusSwitchingProtocols
	}
	return c, rw, err
}

// Unwrap lets http.ResponseController reach the rest.
func (r *record) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// active counts the requests that go on, those of taken-over connections too.
type active struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n becomes 0; nil while nobody waits
}

func (a *active) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n++
}

func (a *active) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n--; a.n == 0 && a.idle != nil {
		close(a.idle)
		a.idle = nil
	}
}

// wait returns when there is none, or ctx ends.
func (a *active) wait(ctx context.Context) error {
	a.mu.Lock()
	if a.n == 0 {
		a.mu.Unlock()
		return nil
	}
	if a.idle == nil {
		a.idle = make(chan struct{})
	}
	idle := a.idle
	a.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
