//go:build linux

package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/api"
)

func TestRegistriesTakePasswordsFromAnywhereButTheCommandLine(t *testing.T) {
	serve(t)
	r := runWith(t, t.Context(), "right\n", "registry", "add", "hub", "--username", "me", "--password-stdin")
	if r.code != 0 || r.out != "Registry hub is added.\n" || r.err != "" {
		t.Errorf("by standard input: %+v", r)
	}
	r = runWith(t, t.Context(), "wrong", "registry", "add", "github", "--url", "ghcr.io", "--project", "acme", "-u", "me", "--password-stdin")
	if r.code != 0 || !strings.HasPrefix(r.err, "Warning: ghcr.io") {
		t.Errorf("a password that does not work: %+v", r)
	}
	if r := run(t, "registry", "add", "x", "--username", "me"); r.code != exitUsage || !strings.Contains(r.err, "--password-stdin") {
		t.Errorf("no password: %+v", r)
	}
	if r := run(t, "registry", "add", "x"); r.code != exitUsage {
		t.Errorf("no user: %+v", r)
	}
	if r := run(t, "registry", "add", "x", "--username", "me", "--password-stdin"); r.code != exitUsage {
		t.Errorf("an empty password: %+v", r)
	}
	if r := run(t, "registry", "update", "github", "--name", "gh", "--project", ""); r.code != 0 || !strings.HasPrefix(r.err, "Warning: ghcr.io") {
		t.Errorf("a new name leaves the password: %+v", r)
	}
	if r := runWith(t, t.Context(), "right", "registry", "update", "gh", "--password-stdin"); r.code != 0 || r.err != "" || r.out != "Registry gh is updated.\n" {
		t.Errorf("a new password: %+v", r)
	}
	if r := run(t, "registry", "update", "gh"); r.code != exitUsage {
		t.Errorf("nothing to change: %+v", r)
	}
	t.Setenv("DAYTONA_REGISTRY_PASSWORD", "wrong")
	if r := run(t, "registry", "update", "gh"); r.code != 0 || !strings.HasPrefix(r.err, "Warning: ") {
		t.Errorf("by the variable: %+v", r)
	}
	var all []api.DockerRegistry
	text := must(t, "registry", "list", "-f", "json")
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].Name != "gh" || all[0].Project != "" || all[1].Name != "hub" || strings.Contains(text, "wrong") || strings.Contains(text, "right") {
		t.Errorf("listed %s", text)
	}
	if out := must(t, "registry", "list"); !strings.Contains(out, "ghcr.io") || !strings.Contains(out, "docker.io") {
		t.Errorf("table %q", out)
	}
	if r := run(t, "registry", "delete", "gh", "none", "hub"); r.code != exitNotFound || strings.Count(r.err, "deleted") != 2 {
		t.Errorf("deleted: %+v", r)
	}
	if out := must(t, "registry", "list", "-f", "json"); out != "[]\n" {
		t.Errorf("left: %s", out)
	}
}
