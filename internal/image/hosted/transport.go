package hosted

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// Transport answers reads of a repository in process, as Resolver does, for
// those who speak the distribution API: a build's FROM. It is nil for a
// repository that is not in the organization's project.
func (r *Registry) Transport(organizationID, repository string) http.RoundTripper {
	if organizationID == "" || !strings.HasPrefix(repository, organizationID+"/") {
		return nil
	}
	return inProcess{r, organizationID}
}

type inProcess struct {
	registry       *Registry
	organizationID string
}

// RoundTrip implements http.RoundTripper.
func (t inProcess) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.Method != http.MethodGet && q.Method != http.MethodHead || !strings.HasPrefix(q.URL.Path, prefix+t.organizationID+"/") {
		return nil, fmt.Errorf("%s %s is no read of a project's image", q.Method, q.URL.Path)
	}
	p, err := t.registry.project(t.organizationID)
	if err != nil {
		return nil, err
	}
	body, out := io.Pipe()
	w := &piped{header: http.Header{}, body: out, begun: make(chan struct{})}
	go func() {
		// It ends with its reader: writing to a closed pipe fails.
		t.registry.serve(p, w, q)
		w.WriteHeader(http.StatusOK)
		_ = out.Close() // never fails
	}()
	select {
	case <-w.begun:
	case <-q.Context().Done():
		_ = body.CloseWithError(q.Context().Err()) // never fails
		return nil, q.Context().Err()
	}
	res := &http.Response{
		StatusCode: w.status, Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: body, ContentLength: -1, Request: q,
	}
	if n := w.sent.Get("Content-Length"); n != "" {
		if _, err := fmt.Sscan(n, &res.ContentLength); err != nil {
			res.ContentLength = -1
		}
	}
	return res, nil
}

// piped is a response that is read while it is written. It implements
// http.ResponseWriter.
type piped struct {
	header http.Header
	body   *io.PipeWriter

	once   sync.Once
	begun  chan struct{} // closed when status and sent are there
	status int
	sent   http.Header
}

// Header implements http.ResponseWriter.
func (a *piped) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *piped) WriteHeader(status int) {
	a.once.Do(func() {
		a.status, a.sent = status, a.header.Clone()
		close(a.begun)
	})
}

// Write implements http.ResponseWriter.
func (a *piped) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}
