package httpapi

import (
	_ "embed"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

// publishedRoutes are those of the official clients since 0.205.
//
//go:embed testdata/published-routes.txt
var publishedRoutes string

// inTree tells whether the path is in a tree of routes that is not served as a whole.
func inTree(path string) bool {
	for _, part := range unserved {
		for _, route := range part.routes {
			if path == route || strings.HasSuffix(route, "/") && strings.HasPrefix(path, route) {
				return true
			}
		}
	}
	return false
}

var pathParameter = regexp.MustCompile(`\{[^}]*\}`)

// A client takes 404 for an object that is not there.
func TestEachPublishedRouteIsServedOrSaysThatItIsNot(t *testing.T) {
	s := newServer(t)
	served := map[string]bool{}
	documented := map[string]bool{}
	for path, item := range New(Config{}).Document().Paths {
		for method, o := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete} {
			if o == nil {
				continue
			}
			route := method + " " + pathParameter.ReplaceAllString(path, "{}")
			if documented[route] {
				t.Errorf("%s is in the document twice", route)
			}
			documented[route] = true
			served[route] = o.Responses["501"] == nil
			for _, p := range pathParameter.FindAllString(path, -1) {
				if !slices.ContainsFunc(o.Parameters, func(has *huma.Param) bool { return has.In == "path" && "{"+has.Name+"}" == p }) {
					t.Errorf("%s lacks the parameter %s", route, p)
				}
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
		if route := method + " " + pathParameter.ReplaceAllString(path, "{}"); !documented[route] && !inTree(path) {
			t.Errorf("the document does not tell that %s is not served", route)
		}
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
