package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/opendaytona/daytona/api"
)

// clean reports whether a path or a query parameter may name anything: the
// names of no noun have other characters than these, the database takes no NUL,
// and those who read logs and terminals should not have to.
func clean(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// refuseUnclean answers requests whose path or query has control characters or
// is not UTF-8, and those whose path the mux would redirect; done says that it
// has.
func refuseUnclean(w http.ResponseWriter, r *http.Request) (done bool) {
	refused := func(what string) bool {
		writeError(w, r, &api.Error{StatusCode: http.StatusBadRequest, Code: "BAD_REQUEST", Message: what + " contains control characters or is not UTF-8: remove them."})
		return true
	}
	if !clean(r.URL.Path) {
		return refused("The path")
	}
	for name, values := range r.URL.Query() {
		if !clean(name) {
			return refused("The name of a query parameter")
		}
		for _, value := range values {
			if !clean(value) {
				return refused("The query parameter " + name)
			}
		}
	}
	escaped := r.URL.EscapedPath()
	if tidy := path.Clean(escaped); tidy != escaped && tidy+"/" != escaped {
		writeError(w, r, &api.Error{StatusCode: http.StatusNotFound, Code: "NOT_FOUND", Message: "No such route: " + r.Method + " " + r.URL.Path + "; write it as " + tidy + "."})
		return true
	}
	return false
}

// cleanJSON reads JSON without NUL in its strings: neither the database nor
// programs take it.
var cleanJSON = huma.Format{
	Marshal: huma.DefaultJSONFormat.Marshal,
	Unmarshal: func(data []byte, v any) error {
		if err := json.Unmarshal(data, v); err != nil {
			return err
		}
		loose, ok := v.(*any) // huma reads into one first
		if !ok {
			return nil
		}
		if where, found := findNUL(*loose); found {
			return fmt.Errorf("contains the character NUL (\\u0000) in %s: remove it", where)
		}
		return nil
	},
}

// findNUL names the field with it.
func findNUL(v any) (where string, found bool) {
	switch v := v.(type) {
	case string:
		return "a string", strings.ContainsRune(v, 0)
	case []any:
		for _, item := range v {
			if where, found := findNUL(item); found {
				return where, true
			}
		}
	case map[string]any:
		for key, item := range v {
			if strings.ContainsRune(key, 0) {
				return "the name of a field", true
			}
			if _, found := findNUL(item); found {
				return "the field " + key, true
			}
		}
	}
	return "", false
}

// methods are those that routes have.
var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// unknown answers for paths that are no route, and methods that a route has not.
func (a *API) unknown(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range methods {
		probe := r.Clone(r.Context())
		probe.Method = method
		if _, pattern := a.mux.Handler(probe); pattern != "" && pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		writeError(w, r, &api.Error{StatusCode: http.StatusMethodNotAllowed, Code: "METHOD_NOT_ALLOWED", Message: "The method " + r.Method + " is not allowed here: use " + strings.Join(allowed, " or ") + "."})
		return
	}
	writeError(w, r, &api.Error{StatusCode: http.StatusNotFound, Code: "NOT_FOUND", Message: "No such route: " + r.Method + " " + r.URL.Path + "."})
}
