package httperror

import (
	"encoding/json"
	"net/http/httptest"
	"testing"

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

func TestBearerTokens(t *testing.T) {
	for header, want := range map[string]string{"": "", "Bearer abc": "abc", "bearer  abc ": "abc", "Basic abc": "", "Bearer": "", "abc": ""} {
		if got := BearerToken(header); got != want {
			t.Errorf("BearerToken(%q) = %q, want %q", header, got, want)
		}
	}
}
