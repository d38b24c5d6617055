package server

import (
	"bytes"
	"database/sql"
	"errors"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/config"

	"github.com/opendaytona/daytona/api"
)

func TestOrganizationsAreMadeByTheCommandOnTheMachine(t *testing.T) {
	c := testConfig(t, "--quota-cpu", "3")
	ts := start(t, c, testHost(newMemoryEngine(t, http.HandlerFunc(echo))))
	run := func(dir string, args ...string) (string, error) {
		var out bytes.Buffer
		cmd := Command("test")
		cmd.SetArgs(append([]string{"organization", "--data-dir", dir}, args...))
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		err := cmd.ExecuteContext(t.Context())
		return out.String(), err
	}
	text, err := run(c.DataDir, "create", "Blue team")
	key := regexp.MustCompile(`dtn_[0-9a-f]{64}`).FindString(text)
	if err != nil || key == "" {
		t.Fatalf("create: %s, %v", text, err)
	}
	me := read[api.APIKey](t, ts.ask(key, "GET", "/api-keys/current", nil, 200))
	usage := read[api.OrganizationUsage](t, ts.ask(key, "GET", "/organizations/"+me.OrganizationID+"/usage", nil, 200))
	if usage.RegionUsage[0].TotalCPUQuota != 3 {
		t.Errorf("its quota is %+v", usage)
	}
	if text := ts.ask(key, "GET", "/organizations", nil, 200); !strings.Contains(text, "Blue team") || strings.Contains(text, "Personal") {
		t.Errorf("its key reaches %s", text)
	}
	for _, path := range []string{"/admin/organizations"} {
		ts.ask(key, "GET", path, nil, 403)
		ts.ask(key, "POST", path, api.AdminCreateOrganization{Name: "Red team"}, 403)
	}
	if text, err := run(c.DataDir, "list"); err != nil || !strings.Contains(text, me.OrganizationID+"  Blue team") || !strings.Contains(text, "Personal") || strings.Contains(text, "dtn_") {
		t.Errorf("list: %s, %v", text, err)
	}
	for name, says := range map[string]string{"Blue team": "exists already", "": "is not valid", "a\nb": "is not valid", "../x": "is not valid", strings.Repeat("x", 65): "is not valid"} {
		if text, err := run(c.DataDir, "create", name); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("create %q: %s, %v", name, text, err)
		}
	}
	if _, err := run(filepath.Join(t.TempDir(), "none"), "list"); err == nil || !strings.Contains(err.Error(), "start the server") {
		t.Errorf("without a data directory: %v", err)
	}
	ts.stop()
	if _, err := run(c.DataDir, "list"); err == nil || !strings.Contains(err.Error(), "is it running?") {
		t.Errorf("without a server: %v", err)
	}
}

func TestOrganizationsAreDeletedByTheCommandOnTheMachine(t *testing.T) {
	c := testConfig(t, "--mirror", "docker.io="+testHub(t))
	engine := newMemoryEngine(t, http.HandlerFunc(slowAgent))
	ts := start(t, c, testHost(engine))
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		cmd := Command("test")
		cmd.SetArgs(append([]string{"organization", "--data-dir", c.DataDir}, args...))
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		err := cmd.ExecuteContext(t.Context())
		return out.String(), err
	}
	keeps := ts.estate(ts.creds.APIKey, 3000)
	blue := ts.tenant("Blue team")
	has := ts.estate(blue.APIKey, 3000)
	ts.ask(blue.APIKey, "PATCH", "/warm-pools/"+has.pool, map[string]int{"pool": 1}, 200)
	ts.ask(blue.APIKey, "POST", "/sandbox/"+has.sandbox+"/fork", map[string]string{}, 200)
	ts.ask(blue.APIKey, "DELETE", "/sandbox/"+has.sandbox, nil, 200) // a parent that has gone
	left := read[api.Sandbox](t, ts.ask(blue.APIKey, "POST", "/sandbox", map[string]string{"snapshot": canary}, 200)).ID

	for name, says := range map[string]string{
		"Blue team": "snapshots: delete them first, or say that they go with it (--with-contents)",
		"Personal":  "belongs to the administrator", "Green team": "does not exist",
	} {
		if text, err := run("delete", name); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("delete %q: %s, %v", name, text, err)
		}
	}
	ts.ask(blue.APIKey, "GET", "/sandbox/"+left, nil, 200) // nothing was touched
	ts.ask(blue.APIKey, "DELETE", "/admin/organizations/"+has.organization, nil, 403)

	r, err := http.NewRequestWithContext(t.Context(), "GET", ts.origin()+"/toolbox/"+left+"/silent", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+blue.APIKey)
	ended := make(chan int, 1)
	go func() {
		res, err := ts.client().Do(r)
		if err != nil {
			ended <- 0
			return
		}
		res.Body.Close()
		ended <- res.StatusCode
	}()
	ts.eventually("the request goes on", func() bool { return ts.going() == 1 })
	if text, err := run("delete", "--with-contents", "Blue team"); err != nil || !strings.Contains(text, "Deleted organization") {
		t.Fatalf("delete with contents: %s, %v", text, err)
	}
	if status := <-ended; status != 401 {
		t.Errorf("its request ended with %d", status)
	}
	ts.ask(blue.APIKey, "GET", "/users/me", nil, 401)
	if text, err := run("list"); err != nil || strings.Contains(text, "Blue team") {
		t.Errorf("list: %s, %v", text, err)
	}
	// Of the other's, nothing is missing; of its own, nothing is left.
	ts.ask(ts.creds.APIKey, "GET", "/sandbox/"+keeps.sandbox, nil, 200)
	if disks := engine.Disks(); len(disks) != 1 {
		t.Errorf("the disks %v are left, want that of the other", disks)
	}
	for _, table := range []string{"organizations", "members", "users", "api_keys", "sandboxes", "snapshots", "docker_registries", "warm_pools", "departed_sandboxes"} {
		if n := ts.count(table, has.organization, has.user); n != 0 {
			t.Errorf("%d rows of %s are left", n, table)
		}
	}
	// Its name is free.
	ts.tenant("Blue team")
	if text, err := run("delete", "Blue team"); err != nil {
		t.Errorf("delete an empty one: %s, %v", text, err)
	}
}

// count looks for rows of an organization, or of a user, past the server.
func (ts *testServer) count(table, organization, user string) (n int) {
	ts.Helper()
	column, of := "organization_id", organization
	switch table {
	case "organizations":
		column = "id"
	case "users":
		column, of = "id", user
	}
	db, err := sql.Open("sqlite", "file:"+ts.Below(config.DatabaseName)+"?mode=ro")
	if err == nil {
		err = db.QueryRowContext(ts.Context(), "SELECT count(*) FROM "+table+" WHERE "+column+" = ?", of).Scan(&n) //nolint:gosec // both are ours
	}
	if err = errors.Join(err, db.Close()); err != nil {
		ts.Fatal(err)
	}
	return n
}
