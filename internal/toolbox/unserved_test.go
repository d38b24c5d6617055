package toolbox

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/toolbox/boot"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// publishedRoutes are those of the official clients.
//
//go:embed testdata/published-routes.txt
var publishedRoutes string

var pathParameter = regexp.MustCompile(`\{[^}]*\}`)

// A client takes 404 for a file or session that is not there.
func TestEachPublishedRouteIsServedOrSaysThatItIsNot(t *testing.T) {
	handler := Handler(boot.Config{}, nil, nil, nil, nil).(routes)
	ask := func(method, path string) (int, wire.Envelope) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
		if strings.HasSuffix(path, "/connect") || strings.HasSuffix(path, "/execute") {
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "websocket")
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		var said wire.Envelope
		if w.Body.Len() > 0 {
			if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil {
				t.Fatalf("%s %s: %v in %q", method, path, err, w.Body)
			}
		}
		return w.Code, said
	}
	missing := 0
	for route := range strings.Lines(publishedRoutes) {
		method, path, _ := strings.Cut(strings.TrimSpace(route), " ")
		path = pathParameter.ReplaceAllString(path, "1")
		if _, pattern := handler.mux.Handler(httptest.NewRequestWithContext(t.Context(), method, path, nil)); pattern != "" {
			continue
		}
		missing++
		status, said := ask(method, path)
		if status != http.StatusNotImplemented || said.Code != wire.NotImplemented || !strings.HasSuffix(said.Message, "("+method+" "+path+")") {
			t.Errorf("%s %s: %d %q %q", method, path, status, said.Code, said.Message)
		}
	}
	if missing == 0 {
		t.Error("nothing is missing: the test asked nothing")
	}
	for _, path := range []string{"/nonsense", "/gitignore", "/process", "//git/status", "/git/nonsense"} {
		if status, _ := ask("GET", path); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
}
