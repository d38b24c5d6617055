package server

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/minio/minio-go/v7"
	s3 "github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/objectstore"
	"github.com/opendaytona/daytona/internal/web"
)

// canary is in all that a tenant has and that others must not see.
const canary = "canary-of-a-tenant"

// property is what a tenant has.
type property struct {
	organization, user    string
	sandbox, snapshot     string // ids
	registry, pool, token string
}

// estate makes a tenant's property. The server must have an image
// library/small:1.
func (ts *testServer) estate(key string, appPort int) (p property) {
	ts.Helper()
	me := read[api.APIKey](ts.T, ts.ask(key, "GET", "/api-keys/current", nil, 200))
	p.organization, p.user = me.OrganizationID, me.UserID
	p.snapshot = ts.snapshotOf(key, canary, "library/small:1").ID
	p.sandbox = read[api.Sandbox](ts.T, ts.ask(key, "POST", "/sandbox", map[string]any{
		"snapshot": canary, "name": canary, "labels": map[string]string{"of": canary}, "env": map[string]string{"SECRET": canary},
	}, 200)).ID
	p.registry = read[api.DockerRegistry](ts.T, ts.ask(key, "POST", "/docker-registry", api.CreateDockerRegistry{Name: canary, URL: "127.0.0.1:1", Username: canary, Password: "x"}, 201)).ID
	p.pool = read[api.WarmPool](ts.T, ts.ask(key, "POST", "/warm-pools", api.CreateWarmPool{Snapshot: canary, Pool: 0}, 201)).ID
	ts.ask(key, "POST", "/api-keys", api.CreateAPIKey{Name: canary, Permissions: []api.Permission{}}, 201)
	p.token = read[api.SignedPortPreviewURL](ts.T, ts.ask(key, "GET", fmt.Sprintf("/sandbox/%s/ports/%d/signed-preview-url", p.sandbox, appPort), nil, 200)).Token
	return p
}

// look is all that a tenant sees of their property.
func (ts *testServer) look(key string, p property) map[string]any {
	ts.Helper()
	seen := map[string]any{}
	for _, path := range []string{
		"/sandbox/" + p.sandbox, "/sandbox/paginated", "/snapshots", "/docker-registry", "/warm-pools", "/api-keys",
		"/organizations", "/organizations/" + p.organization + "/usage", "/users/me",
	} {
		seen[path] = same(ts.T, ts.ask(key, "GET", path, nil, 200))
	}
	return seen
}

// values are what a parameter of a route may be, of that property.
func (p property) values(r route, port int) func(parameter string) (string, bool) {
	return func(parameter string) (string, bool) {
		if parameter == "id" {
			for prefix, id := range map[string]string{"/snapshots/": p.snapshot, "/docker-registry/": p.registry, "/warm-pools/": p.pool, "/regions/": "us"} {
				if strings.HasPrefix(r.Path, prefix) {
					return id, true
				}
			}
			return "", false
		}
		v, ok := map[string]string{
			"sandboxIdOrName": p.sandbox, "sandboxId": p.sandbox, "organizationId": p.organization, "userId": p.user, "name": canary,
			"port": fmt.Sprint(port), "token": p.token, "interval": "7", "ttlMinutes": "7", "isPublic": "true",
		}[parameter]
		return v, ok
	}
}

// shared are the routes with a parameter that is nobody's.
var shared = []string{"getRegion"}

// Each tenant tries every route on what the other has, by ids and by names.
func TestNoRouteReachesAnotherTenant(t *testing.T) {
	ts := startPreviews(t, func(http.ResponseWriter, *http.Request) {})
	other := ts.tenant("Another")
	first, second := ts.creds.APIKey, other.APIKey
	for _, c := range []struct{ name, victim, attacker string }{{"the first's", first, second}, {"the second's", second, first}} {
		p := ts.estate(c.victim, ts.port)
		attacker := c.attacker
		if attacker == first { // who manages the server may do more, by what the table of permissions says
			attacker = ts.keyOf("of one organization", without(api.ManageServer)...)
		}
		before := ts.look(c.victim, p)
		for _, r := range ts.routes() {
			needs, private := r.needs(t)
			if !private || slices.Contains(needs, api.ManageServer) {
				continue
			}
			body := r.sample(t, map[string]any{
				"name": "made by another", "snapshot": p.snapshot, "url": "127.0.0.1:1", "imageName": "127.0.0.1:1/none:1",
			})
			ids := r.path(t, p.values(r, ts.port))
			owned := ids != r.Path && !slices.Contains(shared, r.OperationID)
			paths := []string{ids}
			if strings.Contains(ids, p.sandbox) {
				paths = append(paths, strings.ReplaceAll(ids, p.sandbox, canary))
			}
			if strings.Contains(ids, p.snapshot) {
				paths = append(paths, strings.ReplaceAll(ids, p.snapshot, canary))
			}
			for _, path := range paths {
				if a := ts.walk(r, attacker, path+r.filters(p), body, ""); a.status >= 500 || owned && a.status < 400 || a.status < 300 && (strings.Contains(a.text, canary) || strings.Contains(a.text, p.sandbox) || strings.Contains(a.text, p.snapshot)) {
					t.Errorf("%s %s on %s: %d %s", r.Method, path, c.name, a.status, a.text)
				}
				if a := ts.walk(r, attacker, path, body, p.organization); a.status != 403 || a.code != "ORGANIZATION_FORBIDDEN" {
					t.Errorf("%s %s in %s organization: %d %s", r.Method, path, c.name, a.status, a.text)
				}
			}
			if err := unchanged(before, ts.look(c.victim, p)); err != nil {
				t.Fatalf("%s changed %s: %v", r, c.name, err)
			}
		}
		// What was tried is there: its owner reaches it.
		ts.ask(c.victim, "POST", "/sandbox/"+canary+"/stop", nil, 200)
		ts.ask(c.victim, "DELETE", "/sandbox/"+p.sandbox, nil, 200)
		ts.ask(c.victim, "DELETE", "/docker-registry/"+p.registry, nil, 204)
		ts.ask(c.victim, "DELETE", "/warm-pools/"+p.pool, nil, 204)
		ts.ask(c.victim, "DELETE", "/snapshots/"+canary, nil, 200)
		ts.ask(c.victim, "DELETE", "/api-keys/"+canary, nil, 204)
	}
}

// filters are the query parameters that can name what another has.
func (r route) filters(p property) string {
	q := url.Values{}
	for _, parameter := range r.Parameters {
		if parameter.In != "query" {
			continue
		}
		switch parameter.Name {
		case "id", "sourceSandboxId":
			q.Set(parameter.Name, p.sandbox)
		case "name", "snapshots":
			q.Set(parameter.Name, canary)
		case "labels":
			q.Set(parameter.Name, `{"of":"`+canary+`"}`)
		case "includeWarm", "includeDestroyed", "force":
			q.Set(parameter.Name, "true")
		}
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

func TestNoDoorReachesAnotherTenant(t *testing.T) {
	s := startPreviews(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, canary) })
	other := s.tenant("Another")
	p := s.estate(s.creds.APIKey, s.port)
	preview, _ := s.link(p.sandbox)
	hears := s.listen(other.APIKey)
	for _, name := range []string{p.sandbox, canary} {
		for _, header := range []string{"", p.organization} {
			status, text := s.rawWith("GET", s.origin()+"/toolbox/"+name+"/version", other.APIKey, "", "X-Daytona-Organization-ID", header)
			if want := map[string]int{"": 404, p.organization: 403}[header]; status != want {
				t.Errorf("toolbox of %s in %q: %d %s", name, header, status, text)
			}
		}
	}
	for _, header := range []string{"Authorization", previewToken} {
		value := map[string]string{"Authorization": "Bearer " + other.APIKey, previewToken: p.token}[header]
		if status, text := s.get(preview, header, value); status != 401 || strings.Contains(text, canary) {
			t.Errorf("preview by %s: %d %s", header, status, text)
		}
	}

	// Archives of builds.
	store := func(key string) *minio.Client {
		t.Helper()
		a := read[api.StorageAccess](t, s.ask(key, "GET", "/object-storage/push-access", nil, 200))
		m, err := minio.New(strings.TrimPrefix(s.origin(), "http://"), &minio.Options{
			Creds: s3.NewStaticV4(a.AccessKey, a.Secret, a.SessionToken), BucketLookup: minio.BucketLookupPath, Region: a.Region, MaxRetries: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	object := p.organization + "/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/context.tar"
	put := func(m *minio.Client) error {
		_, err := m.PutObject(t.Context(), objectstore.Bucket, object, bytes.NewReader([]byte(canary)), int64(len(canary)), minio.PutObjectOptions{})
		return err
	}
	if err := put(store(s.creds.APIKey)); err != nil {
		t.Fatal("one's own archive: ", err)
	}
	theirs := store(other.APIKey)
	_, statErr := theirs.StatObject(t.Context(), objectstore.Bucket, object, minio.StatObjectOptions{})
	for what, err := range map[string]error{
		"read": statErr, "write": put(theirs), "remove": theirs.RemoveObject(t.Context(), objectstore.Bucket, object, minio.RemoveObjectOptions{}),
	} {
		if code := minio.ToErrorResponse(err).StatusCode; code != 403 {
			t.Errorf("%s another's archive: %v", what, err)
		}
	}

	// Pushed images.
	mine := read[api.RegistryPushAccess](t, s.ask(s.creds.APIKey, "GET", "/docker-registry/registry-push-access", nil, 200))
	access := read[api.RegistryPushAccess](t, s.ask(other.APIKey, "GET", "/docker-registry/registry-push-access", nil, 200))
	for _, c := range []struct {
		method, path string
		access       api.RegistryPushAccess
		lets         bool
	}{
		{"GET", "/app/manifests/1", mine, true},
		{"GET", "/app/manifests/1", access, false},
		{"GET", "/app/tags/list", access, false},
		{"PUT", "/app/manifests/1", access, false},
		{"POST", "/app/blobs/uploads/", access, false},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, s.origin()+"/v2/"+mine.Project+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(c.access.Username, c.access.Secret)
		res, err := s.client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if refused := res.StatusCode == 401 || res.StatusCode == 403; refused == c.lets || res.StatusCode < 400 {
			t.Errorf("%s %s of a project, its own %v: %d", c.method, c.path, c.lets, res.StatusCode)
		}
	}

	// The first that the other hears is of their own.
	s.ask(s.creds.APIKey, "POST", "/sandbox/"+p.sandbox+"/stop", nil, 200)
	s.ask(other.APIKey, "POST", "/snapshots", api.CreateSnapshot{Name: "own", ImageName: "library/small:1"}, 200)
	if _, event, err := hears.Read(t.Context()); err != nil || !strings.Contains(string(event), `"name":"own"`) {
		t.Errorf("the other hears %s, %v", event, err)
	}
}

// listen hears events by a key.
func (ts *testServer) listen(key string) *websocket.Conn {
	ts.Helper()
	c, _, err := websocket.Dial(ts.Context(), strings.Replace(ts.origin(), "http", "ws", 1)+web.EventsPath+"?EIO=4&transport=websocket", nil)
	if err != nil {
		ts.Fatal(err)
	}
	ts.Cleanup(func() { _ = c.CloseNow() })
	for _, say := range []string{`40{"token":"` + key + `"}`, ""} {
		if _, text, err := c.Read(ts.Context()); err != nil || !strings.Contains(string(text), "sid") {
			ts.Fatalf("read %s, %v", text, err)
		}
		if say != "" {
			if err := c.Write(ts.Context(), websocket.MessageText, []byte(say)); err != nil {
				ts.Fatal(err)
			}
		}
	}
	return c
}
