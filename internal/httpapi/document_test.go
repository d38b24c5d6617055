package httpapi

import (
	"encoding/json"
	"fmt"
	"slices"
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
			if o.Responses["501"] != nil { // it answers nothing else
				continue
			}
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

// A client that is generated from the document may send null for what it leaves out.
func TestTheDocumentAllowsNullForWhatMayBeLeftOut(t *testing.T) {
	s := newServer(t)
	s.snapshot("snap")
	for name, schema := range New(Config{}).Document().Components.Schemas.Map() {
		switch name {
		case "CreateSandbox", "CreateSnapshot", "CreateAPIKey", "UpdateLastActivity", "CreateBuildInfo":
		default:
			continue
		}
		for field, property := range schema.Properties {
			if property.Ref == "" && !slices.Contains(schema.Required, field) && !property.Nullable {
				t.Errorf("%s.%s may not be null", name, field)
			}
		}
	}
	id := s.call("POST", "/api/sandbox", `{"snapshot":"snap","name":null,"target":null,"public":null,"cpu":null,"buildInfo":null}`, 200)["id"]
	s.call("POST", fmt.Sprint("/api/sandbox/", id, "/last-activity"), `{"activityType":null}`, 201)
}

func TestAnEmptyQueryParameterThatCannotBeEmptyIsRefused(t *testing.T) {
	s := newServer(t)
	for path, want := range map[string]int{
		"/api/sandbox?lastEventBefore=": 400, "/api/sandbox?limit=": 400, "/api/sandbox?sort=": 400, "/api/sandbox/paginated?order=": 400, "/api/sandbox?name=": 200, "/api/sandbox?states=": 200, "/api/sandbox": 200,
	} {
		if out := s.call("GET", path, "", want); want == 400 && !strings.Contains(out["message"].(string), "is empty: give it a value") {
			t.Errorf("%s: %v", path, out)
		}
	}
}
