package server

import (
	"bytes"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/api"
)

func TestOrganizationsAreMadeByTheCommandOnTheMachine(t *testing.T) {
	c := config(t, "--quota-cpu", "3")
	ts := start(t, c, testMachine(newMemoryEngine(t, http.HandlerFunc(echo))))
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
	if _, err := run(c.DataDir, "list"); err == nil || !strings.Contains(err.Error(), "start it first") {
		t.Errorf("without a server: %v", err)
	}
}
