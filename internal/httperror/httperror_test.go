package httperror

import (
	"encoding/json"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/fault"
)

func TestEveryKindOfFailureHasAStatusOfTheClientsOrTheServers(t *testing.T) {
	for k := fault.KindInvalid; k <= fault.KindNoAnswer; k++ {
		if got := Status(k); got < 400 || got == 500 {
			t.Errorf("kind %d: status %d", k, got)
		}
	}
	if got := Status(0); got != 500 {
		t.Errorf("a failure of no kind: status %d, want 500", got)
	}
}

func TestARefusalIsTheWholeEnvelope(t *testing.T) {
	w := httptest.NewRecorder()
	Refuse(w, httptest.NewRequest("GET", "/api/x", nil), fault.Conflict("BUSY", "Wait."))
	var e api.Error
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
		t.Fatal(err)
	}
	if w.Code != 409 || e.StatusCode != 409 || e.Err != "Conflict" || e.Code != "BUSY" || e.Message != "Wait." || e.Path != "/api/x" || e.Source != api.SourceAPI || e.Timestamp == "" {
		t.Errorf("status %d, envelope %+v", w.Code, e)
	}
}

func TestARefusalTellsWhenToTryAgain(t *testing.T) {
	for after, want := range map[time.Duration]string{0: "", time.Millisecond: "1", 2 * time.Second: "2", 2*time.Second + 1: "3"} {
		w := httptest.NewRecorder()
		f := fault.Unavailable("BUSY", "Wait.")
		f.RetryAfter = after
		Refuse(w, httptest.NewRequest("GET", "/api/x", nil), f)
		if got := w.Header().Get("Retry-After"); got != want || w.Code != 503 {
			t.Errorf("after %v: Retry-After %q, want %q, status %d", after, got, want, w.Code)
		}
	}
}

func TestBearerTokens(t *testing.T) {
	for header, want := range map[string]string{"": "", "Bearer abc": "abc", "bearer  abc ": "abc", "Basic abc": "", "Bearer": "", "abc": ""} {
		if got := BearerToken(header); got != want {
			t.Errorf("BearerToken(%q) = %q, want %q", header, got, want)
		}
	}
}
