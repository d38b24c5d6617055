package daytona

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/opendaytona/daytona/api"
)

// restarting is a server that gives no answer to some requests, as one that is
// being restarted, before each that it answers.
func restarting(t *testing.T, lost ...func(http.ResponseWriter)) *Client {
	t.Helper()
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(calls.Add(1)) - 1
		if n == 0 { // begins the wait
			fmt.Fprint(w, `{"id":"x","name":"x","state":"pulling"}`)
			return
		}
		if n <= len(lost) {
			lost[n-1](w)
			return
		}
		fmt.Fprint(w, `{"id":"x","name":"x","state":"active"}`)
	}))
	t.Cleanup(s.Close)
	c, err := NewClientWithConfig(Config{APIKey: "key", APIURL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAWaitOutlastsARestartOfTheServer(t *testing.T) {
	broken := func(http.ResponseWriter) { panic(http.ErrAbortHandler) }
	status := func(n int) func(http.ResponseWriter) { return func(w http.ResponseWriter) { w.WriteHeader(n) } }
	c := restarting(t, broken, status(http.StatusBadGateway), status(http.StatusServiceUnavailable), broken)
	snapshot, err := c.Snapshot.Activate(t.Context(), "x")
	if err != nil || snapshot.State != api.SnapshotActive {
		t.Errorf("got %+v, %v", snapshot, err)
	}
	// Any other answer ends it.
	c = restarting(t, broken, status(http.StatusForbidden))
	if _, err := c.Snapshot.Activate(t.Context(), "x"); !errors.Is(err, ErrForbidden) {
		t.Errorf("got %v", err)
	}
}
