package httpapi

import (
	"net/http"
	"strings"
	"testing"
)

// The store is the real one, which takes no NUL.
func TestUncleanNamesAreBadRequests(t *testing.T) {
	s := newServer(t)
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/api/sandbox/a%00b", ""},
		{"GET", "/api/sandbox/%00", ""},
		{"DELETE", "/api/snapshots/a%00", ""},
		{"GET", "/api/snapshots/a%0Ab", ""},
		{"GET", "/api/snapshots/%1b%5b2J", ""},
		{"GET", "/api/snapshots/%ff", ""},
		{"GET", "/api/sandbox/paginated?name=%00", ""},
		{"GET", "/api/sandbox?labels=%7B%22a%22:%22%00%22%7D", ""},
		{"GET", "/api/snapshots?name=%FF", ""},
		{"GET", "/api/snapshots?x%00=1", ""},
		{"POST", "/api/snapshots", `{"name":"a\u0000","imageName":"library/small:1"}`},
		{"POST", "/api/snapshots", `{"name":"a","imageName":"library/small:1","entrypoint":["\u0000"]}`},
		{"POST", "/api/sandbox", `{"labels":{"a":"\u0000"}}`},
		{"POST", "/api/sandbox", `{"env":{"\u0000":"a"}}`},
		{"POST", "/api/api-keys", `{"name":"\u0000","permissions":[]}`},
	} {
		if status, text := s.raw(s.key, c.method, c.path, c.body); status != http.StatusBadRequest || !strings.Contains(string(text), "remove") {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, status, text)
		}
	}
}

func TestUnknownMethodsAreNotAllowed(t *testing.T) {
	s := newServer(t)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"TRACE", "/api/sandbox", 405},
		{"PUT", "/api/snapshots", 405},
		{"BREW", "/api/snapshots/x", 405},
		{"TRACE", "/api/none", 404},
		{"PUT", "/api/none", 404},
	} {
		status, text := s.raw(s.key, c.method, c.path, "")
		if status != c.status || c.status == 405 && !strings.Contains(string(text), "use GET or") {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, text)
		}
	}
}
