package httpserver

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/logging"
)

func TestRequestsAreNamedLoggedAndSurviveAPanic(t *testing.T) {
	var log bytes.Buffer
	web := httptest.NewServer(&recorder{
		observe: func(string, int, time.Duration) {}, log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), active: &active{},
		next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/half" {
				w.WriteHeader(200)
				w.(http.Flusher).Flush()
			}
			if r.URL.Path != "/fine" {
				panic("a bug")
			}
		}),
	})
	get := func(path, id string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", web.URL+path+"?token=secret", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(requestIDHeader, id)
		return http.DefaultClient.Do(r)
	}
	for _, c := range []struct {
		path, id string
		status   int
		keepsID  bool
	}{{"/fine", "mine-1", 200, true}, {"/fine", "not an id", 200, false}, {"/fine", "", 200, false}, {"/bug", "mine-2", 500, true}} {
		res, err := get(c.path, c.id)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := res.Header.Get(requestIDHeader); res.StatusCode != c.status || (got == c.id) != c.keepsID || got == "" {
			t.Errorf("%+v: %d, id %q", c, res.StatusCode, got)
		}
	}
	if res, err := get("/half", ""); err == nil {
		// The answer had begun: all that can be done is to break it off.
		if _, err := res.Body.Read(make([]byte, 1)); err == nil || err.Error() == "EOF" {
			t.Errorf("the broken answer looks complete: %v", err)
		}
		res.Body.Close()
	}
	web.Close() // waits for the handlers, which write the log
	for _, part := range []string{"a bug", "request=mine-2", "status=500", "path=/fine", "operation=unknown"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log lacks %q:\n%s", part, &log)
		}
	}
	if strings.Contains(log.String(), "secret") {
		t.Error("a query is in the log")
	}
}

func TestTheAccessLogNamesNoToken(t *testing.T) {
	const secret = "5eCr3t5eCr3t5eCr3t"
	for _, r := range []*http.Request{
		httptest.NewRequest("POST", "/api/sandbox/box/ports/80/signed-preview-url/"+secret+"/expire", nil),
		httptest.NewRequest("GET", "/kept?DAYTONA_SANDBOX_AUTH_KEY="+secret, nil),
	} {
		var out bytes.Buffer
		a := recorder{log: logging.New(&out, slog.LevelDebug, false), observe: func(string, int, time.Duration) {}, next: http.NotFoundHandler(), active: &active{}}
		a.ServeHTTP(httptest.NewRecorder(), r)
		if strings.Contains(out.String(), secret) || !strings.Contains(out.String(), r.Method) {
			t.Errorf("%s %s: %s", r.Method, r.URL, &out)
		}
	}
}
