package httpapi

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestTheDocumentTellsTheStatusesThatAreAnswered(t *testing.T) {
	s := newServer(t)
	var doc struct {
		Paths      map[string]map[string]struct{ Responses map[string]any }
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	text, err := json.Marshal(s.call("GET", "/api/openapi.json", "", 200))
	if err == nil {
		err = json.Unmarshal(text, &doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			want := []string{"400", "500", "503"}
			if o.Responses["401"] != nil {
				want = append(want, "403", "404")
			}
			if method != "get" {
				want = append(want, "409", "413", "507")
			}
			for _, status := range want {
				if o.Responses[status] == nil {
					t.Errorf("%s %s does not tell of %s", method, path, status)
				}
			}
			if o.Responses["422"] != nil {
				t.Errorf("%s %s tells of 422, which is never answered", method, path)
			}
		}
	}
	if otel, err := json.Marshal(doc.Components.Schemas["Organization"].Properties["otelConfig"]); err != nil || !strings.Contains(string(otel), `"null"`) {
		t.Errorf("otelConfig, which is null, is %s", otel)
	}
}

func TestAnEmptyQueryParameterThatCannotBeEmptyIsRefused(t *testing.T) {
	s := newServer(t)
	for path, want := range map[string]int{
		"/api/sandbox?lastEventBefore=": 400, "/api/sandbox?limit=": 400, "/api/sandbox?name=": 200, "/api/sandbox?states=": 200, "/api/sandbox": 200,
	} {
		if out := s.call("GET", path, "", want); want == 400 && !strings.Contains(out["message"].(string), "is empty: give it a value") {
			t.Errorf("%s: %v", path, out)
		}
	}
}
