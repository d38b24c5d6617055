package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/config"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/registrycreds"
	"github.com/opendaytona/daytona/internal/secretbox"
	"github.com/opendaytona/daytona/test/fixtures"
)

// privateRegistry serves team/app:1 to alice and other/app:1 to bob.
func privateRegistry(t *testing.T) (g *fixtures.Registry, host string) {
	t.Helper()
	g = fixtures.NewRegistry()
	img, err := fixtures.Noise(1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, repository := range []string{"team/app", "other/app"} {
		if err := g.AddImage(repository, "1", img); err != nil {
			t.Fatal(err)
		}
	}
	g.Access.Guard("team/", "alice", "secret-of-alice")
	g.Access.Guard("other/", "bob", "secret-of-bob")
	web := httptest.NewServer(g)
	t.Cleanup(web.Close)
	return g, strings.TrimPrefix(web.URL, "http://")
}

// ask calls the API and returns the answer's text.
func (ts *testServer) ask(key, method, path string, ask any, want int) string {
	ts.Helper()
	b, err := json.Marshal(ask)
	if err != nil {
		ts.Fatal(err)
	}
	r, err := http.NewRequestWithContext(ts.Context(), method, ts.creds.APIURL+path, bytes.NewReader(b))
	if err != nil {
		ts.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		ts.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		ts.Fatal(err)
	}
	if res.StatusCode != want {
		ts.Fatalf("%s %s: %d, want %d: %s", method, path, res.StatusCode, want, text)
	}
	return string(text)
}

func read[T any](t *testing.T, text string) (out T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return out
}

// keyWith makes a key of the administrator's with these permissions only.
func (ts *testServer) keyWith(name string, permissions ...api.Permission) string {
	ts.Helper()
	made := read[api.APIKeyCreated](ts.T, ts.ask(ts.creds.APIKey, "POST", "/api-keys", api.CreateAPIKey{Name: name, Permissions: permissions}, 201))
	return made.Value
}

// tenant is another organization, made as the command makes it, and its key.
func (ts *testServer) tenant(name string) api.AdminOrganizationCreated {
	ts.Helper()
	return read[api.AdminOrganizationCreated](ts.T, ts.ask(ts.creds.APIKey, "POST", "/admin/organizations", api.AdminCreateOrganization{Name: name}, 201))
}

// stranger is the key of another organization.
func (ts *testServer) stranger() string {
	ts.Helper()
	return ts.tenant("strange").APIKey
}

// snapshotOf makes a snapshot of an image and returns it when it is settled.
func (ts *testServer) snapshotOf(key, name, image string) api.Snapshot {
	ts.Helper()
	ts.ask(key, "POST", "/snapshots", api.CreateSnapshot{Name: name, ImageName: image}, 200)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		s := read[api.Snapshot](ts.T, ts.ask(key, "GET", "/snapshots/"+name, nil, 200))
		if s.State == api.SnapshotActive || s.State == api.SnapshotError {
			return s
		}
		if time.Now().After(end) {
			ts.Fatalf("%s stays %s", name, s.State)
		}
	}
}

func TestRegistriesAreKeptForTheirOrganization(t *testing.T) {
	_, host := privateRegistry(t)
	c := testConfig(t, "--plain-http", host)
	ts := start(t, c, testHost(newMemoryEngine(t, nil)))
	key := ts.creds.APIKey
	const password = "secret-of-alice"
	text := ts.ask(key, "POST", "/docker-registry", api.CreateDockerRegistry{Name: "team", URL: "http://" + host + "/v2/", Username: "alice", Password: password, Project: "team"}, 201)
	r := read[api.DockerRegistry](t, text)
	if r.Name != "team" || r.Username != "alice" || r.Project != "team" || r.RegistryType != "organization" || r.Warning != "" || r.CreatedAt.IsZero() {
		t.Errorf("made %s", text)
	}
	list := ts.ask(key, "GET", "/docker-registry", nil, 200)
	if all := read[[]api.DockerRegistry](t, list); len(all) != 1 || all[0].ID != r.ID || all[0].URL != r.URL || all[0].Project != "team" {
		t.Errorf("listed %s", list)
	}
	one := ts.ask(key, "GET", "/docker-registry/"+r.ID, nil, 200)
	if strings.Contains(text+list+one, password) || strings.Contains(text+list+one, "password") {
		t.Errorf("the password is told: %s %s %s", text, list, one)
	}
	ts.ask(key, "POST", "/docker-registry", api.CreateDockerRegistry{Name: "team", URL: host, Username: "x", Password: "y"}, 409)

	// A stranger sees nothing of it.
	stranger := ts.stranger()
	for _, c := range []struct{ method, path string }{{"GET", r.ID}, {"PATCH", r.ID}, {"DELETE", r.ID}, {"GET", "none"}} {
		ts.ask(stranger, c.method, "/docker-registry/"+c.path, map[string]string{}, 404)
	}
	if got := ts.ask(stranger, "GET", "/docker-registry", nil, 200); len(read[[]api.DockerRegistry](t, got)) != 0 {
		t.Errorf("a stranger lists %s", got)
	}
	if s := ts.snapshotOf(stranger, "stolen", host+"/team/app:1"); s.State != api.SnapshotError {
		t.Errorf("a stranger pulls by it: %+v", s)
	}

	// So does who may not.
	reader := ts.keyWith("reader", api.WriteSnapshots)
	ts.ask(reader, "GET", "/docker-registry/"+r.ID, nil, 200)
	ts.ask(reader, "POST", "/docker-registry", api.CreateDockerRegistry{Name: "x", URL: host, Username: "x", Password: "y"}, 403)
	ts.ask(reader, "PATCH", "/docker-registry/"+r.ID, map[string]string{"name": "x"}, 403)
	ts.ask(reader, "DELETE", "/docker-registry/"+r.ID, nil, 403)

	for _, bad := range []api.CreateDockerRegistry{
		{URL: host, Username: "x", Password: "y"}, {Name: "x", URL: "ftp://x", Username: "x", Password: "y"}, {Name: "x", URL: host, Password: "y"},
		{Name: "x", URL: host, Username: "x"}, {Name: "x", URL: host, Username: "a:b", Password: "y"}, {Name: "x", URL: host, Username: "x", Password: "y", Project: "A B"},
	} {
		ts.ask(key, "POST", "/docker-registry", bad, 400)
	}

	// Of the password nothing is on the disk.
	err := filepath.WalkDir(c.DataDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(password)) {
			t.Errorf("%s has the password", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	ts.ask(key, "DELETE", "/docker-registry/"+r.ID, nil, 204)
	ts.ask(key, "DELETE", "/docker-registry/"+r.ID, nil, 404)
}

func TestPullsUseWhatIsKept(t *testing.T) {
	g, host := privateRegistry(t)
	g.Access.Tokens(time.Hour, true, false)
	ts := start(t, testConfig(t, "--plain-http", host), testHost(newMemoryEngine(t, nil)))
	key := ts.creds.APIKey
	said := func(s api.Snapshot) string {
		if s.ErrorReason == nil {
			return ""
		}
		return *s.ErrorReason
	}
	if s := ts.snapshotOf(key, "none", host+"/team/app:1"); !strings.Contains(said(s), "no credentials are known for "+host+"/team/app") {
		t.Errorf("without: %q", said(s))
	}
	add := func(name, user, password, project string) api.DockerRegistry {
		return read[api.DockerRegistry](t, ts.ask(key, "POST", "/docker-registry", api.CreateDockerRegistry{Name: name, URL: host, Username: user, Password: password, Project: project}, 201))
	}
	team := add("for the team", "alice", "of yesterday", "team")
	if !strings.Contains(team.Warning, "refuses the user alice") {
		t.Errorf("warned %q", team.Warning)
	}
	if r := add("for others", "bob", "secret-of-bob", ""); r.Warning != "" {
		t.Errorf("warned %q", r.Warning)
	}
	if s := ts.snapshotOf(key, "wrong", host+"/team/app:1"); !strings.Contains(said(s), `credentials of registry "for the team"`) {
		t.Errorf("with a wrong password: %q", said(s))
	}

	// A password alone is changed; the rest stays.
	now := read[api.DockerRegistry](t, ts.ask(key, "PATCH", "/docker-registry/"+team.ID, map[string]string{"password": "secret-of-alice"}, 200))
	if now.Warning != "" || now.Name != team.Name || now.Project != "team" || !now.UpdatedAt.After(team.UpdatedAt) {
		t.Errorf("updated to %+v", now)
	}
	for _, repository := range []string{"team", "other"} {
		if s := ts.snapshotOf(key, repository, host+"/"+repository+"/app:1"); s.State != api.SnapshotActive {
			t.Errorf("%s: %q", repository, said(s))
		}
	}
	// What official clients send with every update leaves the password too.
	ts.ask(key, "PATCH", "/docker-registry/"+team.ID, map[string]string{"name": "renamed", "url": host, "username": "alice", "password": ""}, 200)
	if s := ts.snapshotOf(key, "renamed", host+"/team/app:1"); s.State != api.SnapshotActive {
		t.Errorf("after a new name: %q", said(s))
	}

	// No password goes to another host than it was given for.
	text := ts.ask(key, "PATCH", "/docker-registry/"+team.ID, map[string]string{"url": "evil.example"}, 400)
	if !strings.Contains(text, "requires the password") {
		t.Errorf("moved: %s", text)
	}
}

func TestAnotherKeyOpensNoPassword(t *testing.T) {
	_, host := privateRegistry(t)
	c := testConfig(t, "--plain-http", host)
	m := testHost(newMemoryEngine(t, nil))
	ts := start(t, c, m)
	ask := api.CreateDockerRegistry{Name: "team", URL: host, Username: "alice", Password: "secret-of-alice"}
	r := read[api.DockerRegistry](t, ts.ask(ts.creds.APIKey, "POST", "/docker-registry", ask, 201))
	kept, err := os.ReadFile(filepath.Join(c.DataDir, config.EncryptionKeyName))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(c.DataDir, config.EncryptionKeyName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info, err)
	}
	ts.stop()

	another := c
	another.EncryptionKey = secretbox.NewKeyText()
	ts = start(t, another, m)
	s := ts.snapshotOf(ts.creds.APIKey, "a", host+"/team/app:1")
	if s.ErrorReason == nil || !strings.Contains(*s.ErrorReason, `password of registry "team" cannot be decrypted`) || !strings.Contains(*s.ErrorReason, "another key") {
		t.Errorf("with another key: %+v", s)
	}
	ts.stop()

	same := c
	same.EncryptionKey = string(bytes.TrimSpace(kept))
	ts = start(t, same, m)
	if s := ts.snapshotOf(ts.creds.APIKey, "b", host+"/team/app:1"); s.State != api.SnapshotActive {
		t.Errorf("with the old key from the configuration: %+v", s)
	}
	// A row that somebody has moved to another host does not open.
	me, err := ts.accounts.Authenticate(t.Context(), ts.creds.APIKey, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = ts.db.UpdateRegistry(t.Context(), me.OrganizationID, r.ID, func(r *registrycreds.Registry) error {
		r.URL = "evil.example"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	text := ts.ask(ts.creds.APIKey, "PATCH", "/docker-registry/"+r.ID, map[string]string{"name": "team"}, 200)
	if w := read[api.DockerRegistry](t, text).Warning; !strings.Contains(w, "damaged") {
		t.Errorf("a moved password: %q", w)
	}
	ts.stop()
	if err := os.WriteFile(filepath.Join(c.DataDir, config.EncryptionKeyName), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openServer(t.Context(), c, m, ts.log); err == nil || !strings.Contains(fmt.Sprint(err), "32 random bytes") {
		t.Errorf("a key file with nonsense: %v", err)
	}
}
