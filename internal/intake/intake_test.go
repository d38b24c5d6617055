package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

var (
	errRoom = errors.New("no room")
	errEnd  = errors.New("the key was deleted")
)

func TestABodyEndsWhereThereIsNoRoomForIt(t *testing.T) {
	for name, c := range map[string]struct {
		size, room int64
		begins     bool // the handler answers before it reads
		endWith    error
		status     int
		text       string
		reason     error
	}{
		"fits":                   {3 << 20, 4 << 20, false, nil, 201, "took 3145728 <nil>", nil},
		"fits to the byte":       {3<<20 + 1, 3<<20 + 1, false, nil, 201, "took 3145729 <nil>", nil},
		"one byte is too much":   {3<<20 + 1, 3 << 20, false, nil, 413, "no room", errRoom},
		"a small one":            {1, 0, false, nil, 413, "no room", errRoom},
		"nothing":                {0, 0, false, nil, 201, "took 0 <nil>", nil},
		"the answer has begun":   {3 << 20, 1 << 20, true, nil, 200, "begun, took 2088960 no room", errRoom},
		"the request was ended":  {3 << 20, 4 << 20, false, errEnd, 413, "the key was deleted", errEnd},
		"the client has gone":    {3 << 20, 4 << 20, false, context.Canceled, 201, "took 0 broken", nil},
		"ended, and has no room": {3 << 20, 0, false, errEnd, 413, "the key was deleted", errEnd},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, end := context.WithCancelCause(t.Context())
			defer end(nil)
			var sent io.Reader = strings.NewReader(strings.Repeat("x", int(c.size)))
			if c.endWith != nil {
				end(c.endWith)
				sent = broken{}
			}
			left := c.room
			i := Intake{
				Dir: t.TempDir(),
				Take: func(n int64) error {
					if left -= n; left < 0 {
						return errRoom
					}
					return nil
				},
				Refuse: func(w http.ResponseWriter, reason error) {
					http.Error(w, reason.Error(), http.StatusRequestEntityTooLarge)
				},
			}
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(ctx, "PUT", "/", sent)
			reason := i.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if c.begins {
					fmt.Fprint(w, "begun, ")
				}
				n, err := io.Copy(io.Discard, r.Body)
				if !c.begins {
					w.WriteHeader(201)
				}
				fmt.Fprintf(w, "took %d %v", n, err)
			}), w, r)
			if text := strings.TrimSpace(w.Body.String()); !errors.Is(reason, c.reason) || w.Code != c.status || text != c.text {
				t.Errorf("%v; %d %s", reason, w.Code, text)
			}
		})
	}
}

func TestWhatIsNotKeptIsNotToldToBeStored(t *testing.T) {
	for status, want := range map[int]int{201: 503, 404: 404} {
		kept := 0
		i := Intake{
			Dir: t.TempDir(), Take: func(int64) error { return nil },
			Keep:   func() error { kept++; return errRoom },
			Refuse: func(w http.ResponseWriter, _ error) { w.WriteHeader(503) },
		}
		w := httptest.NewRecorder()
		reason := i.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, "stored")
		}), w, httptest.NewRequest("PUT", "/", nil))
		if w.Code != want || reason != nil || kept > 1 || (kept == 1) != (status < 300) || want == 503 && w.Body.Len() > 0 {
			t.Errorf("%d became %d %q, kept %d times, %v", status, w.Code, w.Body, kept, reason)
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("broken") }
