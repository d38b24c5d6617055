package web

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/api"
)

func TestTheGateTellsThatTheServerLivesAndRecoversUntilItIsOpened(t *testing.T) {
	var g Gate
	ask := func(method, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		return w
	}
	if w := ask("GET", "/api/health"); w.Code != 200 || !strings.Contains(w.Body.String(), `"ok"`) {
		t.Errorf("health: %d %s", w.Code, w.Body)
	}
	for _, r := range []struct{ method, path string }{
		{"GET", "/api/health/ready"}, {"POST", "/api/health"}, {"DELETE", "/api/sandbox/box"}, {"GET", "/toolbox/box/files"}, {"GET", "/v2/"}, {"GET", "/metrics"}, {"GET", "/"},
	} {
		w := ask(r.method, r.path)
		var e api.Error
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || e.Code != "RECOVERING" || e.Path != r.path {
			t.Errorf("%s %s: %d %v %+v", r.method, r.path, w.Code, w.Header(), e)
		}
	}
	g.Open(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	if w := ask("DELETE", "/api/sandbox/box"); w.Code != http.StatusTeapot {
		t.Errorf("after it is opened: %d", w.Code)
	}
}
