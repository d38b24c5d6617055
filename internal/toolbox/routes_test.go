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

func TestEachPublishedRouteIsServed(t *testing.T) {
	handler := Handler(boot.Config{}, nil, nil, nil, nil).(routes)
	asked := 0
	for route := range strings.Lines(publishedRoutes) {
		method, path, _ := strings.Cut(strings.TrimSpace(route), " ")
		path = pathParameter.ReplaceAllString(path, "1")
		if _, pattern := handler.mux.Handler(httptest.NewRequestWithContext(t.Context(), method, path, nil)); pattern == "" {
			t.Errorf("%s %s is missing", method, path)
		}
		asked++
	}
	if asked < 100 {
		t.Errorf("%d routes were published", asked)
	}
}

func TestWhatIsNoRouteIsNotFound(t *testing.T) {
	handler := Handler(boot.Config{}, nil, nil, nil, nil)
	for _, path := range []string{"/nonsense", "/gitignore", "/process", "//git/status", "/git/nonsense", "/lsp", "/computeruse/nonsense"} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
		var said wire.Envelope
		if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil || w.Code != http.StatusNotFound || said.Code != wire.NotFound {
			t.Errorf("%s: %d %s: %v", path, w.Code, w.Body, err)
		}
	}
}
