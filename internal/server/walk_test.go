package server

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/httpapi"
	"github.com/opendaytona/daytona/internal/permission"
)

// route is one operation of the OpenAPI document that the server serves.
type route struct {
	huma.Operation
	document huma.OpenAPI
}

func (r route) String() string { return r.Method + " " + r.Path }

// routes are all of the document, in the order of their paths.
func (ts *testServer) routes() (all []route) {
	ts.Helper()
	status, text := ts.raw("GET", ts.origin()+httpapi.Prefix+"/openapi.json", "", "")
	if status != 200 {
		ts.Fatalf("the document: %d", status)
	}
	document := httpapi.New(httpapi.Config{Accounts: ts.accounts, Sandboxes: ts.sandboxes, Previews: ts.previews, Log: ts.log}).Document()
	var served struct {
		Paths map[string]map[string]struct{ Responses map[string]any }
	}
	if err := json.Unmarshal([]byte(text), &served); err != nil {
		ts.Fatal(err)
	}
	count := 0
	for _, methods := range served.Paths {
		for _, o := range methods {
			if o.Responses["501"] == nil {
				count++
			}
		}
	}
	for path, item := range document.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete, item.Head, item.Options, item.Trace} {
			if op != nil && op.Responses["501"] == nil {
				o := *op
				o.Path = path
				all = append(all, route{o, *document})
			}
		}
	}
	if len(all) != count || count < 50 {
		ts.Fatalf("%d routes, the served document has %d", len(all), count)
	}
	slices.SortFunc(all, func(a, b route) int { return strings.Compare(a.Path+a.Method, b.Path+b.Method) })
	return all
}

// needs is what the route states. ok is false for a public one.
func (r route) needs(t *testing.T) (needs []api.Permission, ok bool) {
	t.Helper()
	stated, has := r.Extensions[httpapi.ExtensionPermissions]
	if !has {
		if len(r.Security) > 0 || !slices.Contains(publicRoutes, r.OperationID) {
			t.Errorf("%s states no permission", r)
		}
		return nil, false
	}
	for _, p := range stated.([]permission.Permission) {
		needs = append(needs, api.Permission(p))
	}
	return needs, true
}

// publicRoutes take no key.
var publicRoutes = []string{"health", "ready", "getConfig"}

// path fills the route's path. value names each parameter's.
func (r route) path(t *testing.T, value func(parameter string) (string, bool)) string {
	t.Helper()
	path := r.Path
	for _, p := range r.Parameters {
		if p.In != "path" {
			continue
		}
		v, ok := value(p.Name)
		if !ok {
			t.Fatalf("%s: nothing to fill {%s} with; add it to this test", r, p.Name)
		}
		path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(v))
	}
	return path
}

// sample is a body of the route's schema, with the given fields where it has
// them; nil for a route without a body.
func (r route) sample(t *testing.T, fields map[string]any) any {
	t.Helper()
	if r.RequestBody == nil {
		return nil
	}
	return r.value(t, r.RequestBody.Content["application/json"].Schema, fields)
}

func (r route) value(t *testing.T, s *huma.Schema, fields map[string]any) any {
	t.Helper()
	if s.Ref != "" {
		s = r.document.Components.Schemas.SchemaFromRef(s.Ref)
	}
	switch s.Type {
	case huma.TypeObject:
		out := map[string]any{}
		for name, property := range s.Properties {
			if v, ok := fields[name]; ok {
				out[name] = v
			} else if slices.Contains(s.Required, name) {
				out[name] = r.value(t, property, fields)
			}
		}
		return out
	case huma.TypeArray:
		return []any{}
	case huma.TypeString:
		if len(s.Enum) > 0 {
			return s.Enum[0]
		}
		return "x"
	case huma.TypeInteger, huma.TypeNumber:
		return 1
	case huma.TypeBoolean:
		return true
	}
	t.Fatalf("%s: no sample of type %q", r, s.Type)
	return nil
}

// walked is what a walk sees of one request.
type walked struct {
	status int
	code   string // of the error envelope
	text   string
}

// walk makes a request of a route. organization is the header, "" for none.
func (ts *testServer) walk(r route, key, path string, body any, organization string) walked {
	ts.Helper()
	text := ""
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			ts.Fatal(err)
		}
		text = string(b)
	}
	header := []string{}
	if organization != "" {
		header = append(header, "X-Daytona-Organization-ID", organization)
	}
	status, got := ts.rawWith(r.Method, ts.creds.APIURL+path, key, text, header...)
	var e api.Error
	_ = json.Unmarshal([]byte(got), &e) // an answer that is no error has no code
	return walked{status, e.Code, got}
}

// same makes what two tenants see comparable: without the times that move.
func same(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return strip(v)
}

func strip(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, field := range v {
			if name == "lastUsedAt" || name == "lastActivityAt" {
				delete(v, name)
				continue
			}
			v[name] = strip(field)
		}
	case []any:
		for i := range v {
			v[i] = strip(v[i])
		}
	}
	return v
}

// unchanged compares two looks at a tenant.
func unchanged(before, after map[string]any) error {
	for what, was := range before {
		if !reflect.DeepEqual(was, after[what]) {
			return fmt.Errorf("%s was %v, is %v", what, was, after[what])
		}
	}
	return nil
}
