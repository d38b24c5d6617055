package server

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/httpapi"
	"github.com/opendaytona/daytona/internal/toolbox/port"
)

// keyOf makes a key of the administrator's with exactly these permissions.
func (ts *testServer) keyOf(name string, permissions ...api.Permission) string {
	ts.Helper()
	published, additional := []api.Permission{}, []api.Permission{}
	for _, p := range permissions {
		if slices.Contains(api.Permissions, p) {
			published = append(published, p)
		} else {
			additional = append(additional, p)
		}
	}
	made := read[api.APIKeyCreated](ts.T, ts.ask(ts.creds.APIKey, "POST", "/api-keys", api.CreateAPIKey{Name: name, Permissions: published, Additional: &additional}, 201))
	return made.Value
}

// without are all permissions but one.
func without(p api.Permission) []api.Permission {
	return slices.DeleteFunc(slices.Concat(api.Permissions, api.AdditionalPermissions), func(q api.Permission) bool { return p == q })
}

// Every route of the document lets in keys with what it states, and no others.
func TestEveryRouteNeedsWhatItStates(t *testing.T) {
	ts := start(t, testConfig(t), testHost(newMemoryEngine(t, nil)))
	none := ts.keyOf("none")
	lacking := map[api.Permission]string{}
	for _, p := range slices.Concat(api.Permissions, api.AdditionalPermissions) {
		lacking[p] = ts.keyOf("without "+strings.ReplaceAll(string(p), ":", "-"), without(p)...)
	}
	exact := map[string]string{}
	for _, r := range ts.routes() {
		needs, private := r.needs(t)
		path := r.path(t, func(string) (string, bool) { return "1", true })
		// Nothing that it names is there: it fails after the permission.
		ask := func(key string) walked {
			return ts.walk(r, key, path, r.sample(t, map[string]any{"url": "127.0.0.1:1", "imageName": "127.0.0.1:1/none:1"}), "")
		}
		if !private {
			if a := ask(""); a.status != 200 {
				t.Errorf("%s is public: %d", r, a.status)
			}
			continue
		}
		if a := ask(""); a.status != 401 {
			t.Errorf("%s without a key: %d", r, a.status)
		}
		if a := ask(none); (a.code == "PERMISSION_MISSING") != (len(needs) > 0) {
			t.Errorf("%s with a key of no permission, where it needs %v: %d %s", r, needs, a.status, a.text)
		}
		for _, p := range needs {
			if a := ask(lacking[p]); a.status != 403 || a.code != "PERMISSION_MISSING" || !strings.Contains(a.text, string(p)) {
				t.Errorf("%s with a key of all but %s: %d %s", r, p, a.status, a.text)
			}
		}
		name := strings.ReplaceAll(fmt.Sprint("exactly ", needs), ":", "-")
		name = strings.NewReplacer("[", "", "]", "").Replace(name)
		if exact[name] == "" {
			exact[name] = ts.keyOf(strings.TrimSpace(name), needs...)
		}
		if a := ask(exact[name]); a.status == 401 || a.code == "PERMISSION_MISSING" {
			t.Errorf("%s with a key of %v: %d %s", r, needs, a.status, a.text)
		}
	}
}

// What a route needs for some requests only.
func TestSomeRequestsNeedMore(t *testing.T) {
	ts := start(t, testConfig(t), testHost(newMemoryEngine(t, nil)))
	for _, c := range []struct {
		method, path string
		body         any
		lacks        api.Permission
		code         string
	}{
		{"POST", "/sandbox", map[string]any{"public": true}, api.UsePreviews, "PERMISSION_MISSING"},
		{"POST", "/snapshots", map[string]any{"name": "all", "imageName": "a/b:1", "general": true}, api.ManageServer, "SNAPSHOT_GENERAL"},
		{"DELETE", "/api-keys/another/key", nil, api.ManageServer, "API_KEY_FORBIDDEN"},
	} {
		key := ts.keyOf("without "+strings.ReplaceAll(string(c.lacks), ":", "-")+" "+c.code, without(c.lacks)...)
		if text := ts.ask(key, c.method, c.path, c.body, 403); !strings.Contains(text, c.code) {
			t.Errorf("%s %s without %s: %s", c.method, c.path, c.lacks, text)
		}
	}
}

func TestTheDoorsBesideTheAPINeedPermissions(t *testing.T) {
	agent := http.NewServeMux()
	port.Register(agent)
	agent.HandleFunc("/version", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "agent") })
	s := startPreviews(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "app") })
	none := s.keyOf("none")
	url, _ := s.link("box")
	for _, c := range []struct {
		door, url string
		needs     api.Permission
	}{
		{"toolbox", s.origin() + "/toolbox/box/port", api.UseToolbox},
		{"preview", url, api.UsePreviews},
		{"metrics", s.origin() + "/metrics", api.ReadMetrics},
	} {
		if !slices.ContainsFunc(doorTable, func(d doorRow) bool { return d.needs == string(c.needs) }) {
			t.Errorf("the table of the doors lacks %s", c.door)
		}
		only := s.keyOf("only "+c.door, c.needs)
		for key, refused := range map[string]bool{none: true, s.keyOf("all but "+c.door, without(c.needs)...): true, only: false} {
			if status, text := s.get(c.url, "Authorization", "Bearer "+key); (status == 403) != refused || status == 401 {
				t.Errorf("%s, refused %v: %d %.200s", c.door, refused, status, text)
			}
		}
	}
	// The credentials of these two are given out by routes.
	for _, url := range []string{s.origin() + "/daytona-contexts/x", s.origin() + "/v2/x/manifests/1"} {
		if status, text := s.get(url, "Authorization", "Bearer "+s.creds.APIKey); status != 401 && status != 403 {
			t.Errorf("%s with an API key: %d %s", url, status, text)
		}
	}
}

func TestEnvironmentValuesAreForKeysThatMayReadThem(t *testing.T) {
	s := startPreviews(t, func(http.ResponseWriter, *http.Request) {})
	const secret = "value-of-the-variable"
	s.call("POST", "/api/sandbox", `{"snapshot":"snap","name":"envy","env":{"NAME":"`+secret+`"}}`, 200)
	reader, none := s.keyOf("reader", api.ReadEnv), s.keyOf("none", without(api.ReadEnv)...)
	listeners := map[string]*websocket.Conn{}
	for _, key := range []string{reader, none} {
		listeners[key] = s.listen(key)
	}
	for _, path := range []string{"/sandbox/envy", "/sandbox/paginated"} {
		if text := s.ask(reader, "GET", path, nil, 200); !strings.Contains(text, secret) {
			t.Errorf("%s: %s", path, text)
		}
		if text := s.ask(none, "GET", path, nil, 200); strings.Contains(text, secret) || !strings.Contains(text, `"NAME":"`+httpapi.HiddenValue+`"`) {
			t.Errorf("%s tells: %s", path, text)
		}
	}
	if text := s.ask(none, "POST", "/sandbox/envy/stop", nil, 200); strings.Contains(text, secret) {
		t.Errorf("stop tells: %s", text)
	}
	for key, tells := range map[string]bool{reader: true, none: false} {
		_, event, err := listeners[key].Read(t.Context())
		if err != nil || !strings.HasPrefix(string(event), "42") || strings.Contains(string(event), secret) != tells {
			t.Errorf("an event tells the value: want %v: %s, %v", tells, event, err)
		}
	}
}

func TestANewKeyHasTheAdditionalPermissionsThatGoWithItsOwn(t *testing.T) {
	ts := start(t, testConfig(t), testHost(newMemoryEngine(t, nil)))
	type list = []api.Permission
	stranger := ts.tenant("strange").APIKey
	weak := ts.keyOf("weak", api.ManageAPIKeys, api.WriteSandboxes, api.UseToolbox)
	for name, c := range map[string]struct {
		by      string
		ask     api.CreateAPIKey
		status  int
		additio list
	}{
		"by the published API": {ts.creds.APIKey, api.CreateAPIKey{Permissions: list{api.WriteSandboxes}}, 201, list{api.UseToolbox, api.ReadEnv, api.UsePreviews}},
		"without sandboxes":    {ts.creds.APIKey, api.CreateAPIKey{Permissions: list{api.WriteSnapshots}}, 201, list{}},
		"none":                 {ts.creds.APIKey, api.CreateAPIKey{Permissions: list{}}, 201, list{}},
		"without the toolbox":  {ts.creds.APIKey, api.CreateAPIKey{Permissions: list{api.WriteSandboxes}, Additional: &list{api.ReadEnv}}, 201, list{api.ReadEnv}},
		"the server":           {ts.creds.APIKey, api.CreateAPIKey{Permissions: list{}, Additional: &list{api.ManageServer}}, 201, list{api.ManageServer}},
		"of what one has":      {weak, api.CreateAPIKey{Permissions: list{api.WriteSandboxes}}, 201, list{api.UseToolbox}},
		"more than one has":    {weak, api.CreateAPIKey{Permissions: list{}, Additional: &list{api.ReadEnv}}, 403, nil},
		"the server of others": {stranger, api.CreateAPIKey{Permissions: list{}, Additional: &list{api.ManageServer}}, 403, nil},
		"the wrong field":      {ts.creds.APIKey, api.CreateAPIKey{Permissions: list{api.UseToolbox}}, 400, nil},
		"the other wrong one":  {ts.creds.APIKey, api.CreateAPIKey{Permissions: list{}, Additional: &list{api.WriteSandboxes}}, 400, nil},
		"unknown":              {ts.creds.APIKey, api.CreateAPIKey{Permissions: list{}, Additional: &list{"use:everything"}}, 400, nil},
	} {
		c.ask.Name = "key " + name
		made := read[api.APIKeyCreated](t, ts.ask(c.by, "POST", "/api-keys", c.ask, c.status))
		if c.status != 201 {
			continue
		}
		slices.Sort(made.Additional)
		slices.Sort(c.additio)
		if !slices.Equal(made.Additional, c.additio) || !slices.Equal(made.Permissions, c.ask.Permissions) {
			t.Errorf("%s: made with %v and %v", name, made.Permissions, made.Additional)
		}
	}
}

// doorRow is one row of the table of what is served beside the API.
type doorRow struct{ door, needs string }

var doorTable = []doorRow{
	{"`/toolbox/{sandbox}/…`, and the preview of port 2280: files, processes and everything else inside a sandbox", string(api.UseToolbox)},
	{"a private preview, with an API key", string(api.UsePreviews)},
	{"`/metrics`, with an API key; programs on the server's machine need none", string(api.ReadMetrics)},
	{"`/api/socket.io/`: events of the organization; without `read:env` the values of variables are hidden", ""},
	{"`/daytona-contexts/…` (S3), with credentials from `GET /object-storage/push-access`", string(api.WriteSnapshots)},
	{"`/v2/…` (registry), with credentials from `GET /docker-registry/registry-push-access`", string(api.WriteSnapshots)},
}

var update = flag.Bool("update", false, "rewrite docs/permissions.md")

const tablesBegin = "<!-- The tables are made by: go test ./internal/server -run TestThePermissionsAreDocumented -update -->\n"

const tablesPath = "../../docs/permissions.md"

func TestThePermissionsAreDocumented(t *testing.T) {
	ts := start(t, testConfig(t), testHost(newMemoryEngine(t, nil)))
	var b strings.Builder
	b.WriteString("\n## Routes\n\n| route | needs |\n| --- | --- |\n")
	quote := func(needs []api.Permission) string {
		out := make([]string, len(needs))
		for i, p := range needs {
			out[i] = "`" + string(p) + "`"
		}
		return strings.Join(out, ", ")
	}
	for _, r := range ts.routes() {
		needs, private := r.needs(t)
		text := quote(needs)
		switch {
		case !private:
			text = "no key"
		case len(needs) == 0:
			text = "any key"
		}
		if more, ok := r.Extensions[httpapi.ExtensionSometimes].([]httpapi.Sometimes); ok {
			for _, s := range more {
				text += fmt.Sprintf("; when %s, `%s` too", s.When, s.Permission)
			}
		}
		fmt.Fprintf(&b, "| `%s %s` | %s |\n", r.Method, r.Path, text)
	}
	b.WriteString("\n## Outside the API\n\n| entry point | needs |\n| --- | --- |\n")
	for _, d := range doorTable {
		needs := "any key"
		if d.needs != "" {
			needs = "`" + d.needs + "`"
		}
		fmt.Fprintf(&b, "| %s | %s |\n", d.door, needs)
	}
	text, err := os.ReadFile(tablesPath)
	if err != nil {
		t.Fatal(err)
	}
	head, tables, ok := strings.Cut(string(text), tablesBegin)
	if !ok {
		t.Fatalf("%s has no line %q", tablesPath, tablesBegin)
	}
	if *update {
		if err := os.WriteFile(tablesPath, []byte(head+tablesBegin+b.String()), 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
	} else if tables != b.String() {
		t.Errorf("docs/permissions.md does not match the routes: run the command that it names")
	}
}
