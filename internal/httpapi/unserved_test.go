package httpapi

import (
	_ "embed"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// publishedRoutes are those of the official clients since 0.205.
//
//go:embed testdata/published-routes.txt
var publishedRoutes string

var pathParameter = regexp.MustCompile(`\{[^}]*\}`)

// A client takes 404 for an object that is not there.
func TestEachPublishedRouteIsServedOrSaysThatItIsNot(t *testing.T) {
	s := newServer(t)
	served := map[string]bool{}
	for path, item := range New(Config{}).Document().Paths {
		for method, there := range map[string]bool{
			"GET": item.Get != nil, "POST": item.Post != nil, "PUT": item.Put != nil, "PATCH": item.Patch != nil, "DELETE": item.Delete != nil,
		} {
			if there {
				served[method+" "+pathParameter.ReplaceAllString(path, "{}")] = true
			}
		}
	}
	missing := 0
	for route := range strings.Lines(publishedRoutes) {
		method, path, _ := strings.Cut(strings.TrimSpace(route), " ")
		asked := "/api" + pathParameter.ReplaceAllString(path, "1")
		if served[method+" "+pathParameter.ReplaceAllString(path, "{}")] {
			if status, text := s.raw("", method, asked, ""); status == http.StatusNotImplemented || status == http.StatusMethodNotAllowed {
				t.Errorf("%s %s is served, and answers %d: %s", method, path, status, text)
			}
			continue
		}
		missing++
		if said := fmt.Sprint(s.call(method, asked, "", http.StatusNotImplemented)["message"]); !strings.HasPrefix(said, "This server has no ") || !strings.HasSuffix(said, method+" "+asked+".") {
			t.Errorf("%s %s: %q", method, path, said)
		}
	}
	if missing == 0 {
		t.Error("nothing is missing: the test asked nothing")
	}
	for _, older := range []string{"GET /api/toolbox/1/toolbox/files", "GET /api/jobs/poll", "POST /api/runners"} {
		method, path, _ := strings.Cut(older, " ")
		s.call(method, path, "", http.StatusNotImplemented)
	}
	// What nobody published stays unknown, and other methods of what is served
	// are told apart from it.
	s.call("GET", "/api/nonsense", "", http.StatusNotFound)
	s.call("PUT", "/api/sandbox", "", http.StatusMethodNotAllowed)
	s.call("PUT", "/api/volumes", "", http.StatusNotFound)
}
