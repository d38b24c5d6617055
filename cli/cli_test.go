//go:build linux

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/testserver"
)

// result is how one run of the command ended.
type result struct {
	code     int
	out, err string
}

// run runs the command with nothing known but what the test has set.
func run(t *testing.T, args ...string) result {
	t.Helper()
	return runWith(t, t.Context(), "", args...)
}

func runWith(t *testing.T, ctx context.Context, input string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := Main(ctx, Program{Version: "1.2.3", Args: args, In: strings.NewReader(input), Out: &out, Err: &errs})
	return result{code, out.String(), errs.String()}
}

// bare forgets everything that this machine knows of servers.
func bare(t *testing.T) {
	t.Helper()
	for _, name := range []string{"DAYTONA_API_URL", "DAYTONA_API_KEY", "DAYTONA_ORGANIZATION_ID", "DAYTONA_TARGET"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("DAYTONA_DATA_DIR", t.TempDir())
}

// serve starts a server that the environment names.
func serve(t *testing.T) *testserver.Server {
	t.Helper()
	bare(t)
	s := testserver.Start(t)
	t.Setenv("DAYTONA_API_URL", s.APIURL)
	t.Setenv("DAYTONA_API_KEY", s.Key)
	return s
}

// must runs what has to work and returns what it prints.
func must(t *testing.T, args ...string) string {
	t.Helper()
	r := run(t, args...)
	if r.code != 0 {
		t.Fatalf("daytona %s: exit code %d: %s", strings.Join(args, " "), r.code, r.err)
	}
	return r.out
}

func TestTheGuidesFlow(t *testing.T) {
	serve(t)
	r := run(t, "snapshot", "create", "my-snapshot", "--image", "python:3.11-slim", "--cpu", "2", "--memory", "4", "--disk", "8", "--region", "us", "--entrypoint", "sleep '1 000'")
	if r.code != 0 || r.out != "Snapshot my-snapshot is active.\n" || !strings.Contains(r.err, "Pulled python:3.11-slim\n") {
		t.Fatalf("create: %+v", r)
	}
	var snapshot api.Snapshot
	if err := json.Unmarshal([]byte(must(t, "snapshot", "get", "my-snapshot", "--format", "json")), &snapshot); err != nil {
		t.Fatal(err)
	}
	if snapshot.CPU != 2 || snapshot.Memory != 4 || snapshot.Disk != 8 || strings.Join(snapshot.Entrypoint, "|") != "sleep|1 000" {
		t.Errorf("snapshot %+v", snapshot)
	}
	for _, part := range []string{"my-snapshot", "python:3.11-slim", "active", "4 GiB"} {
		if out := must(t, "snapshot", "get", "my-snapshot"); !strings.Contains(out, part) {
			t.Errorf("%q lacks %q", out, part)
		}
	}
	id := strings.TrimSpace(must(t, "create", "--snapshot", "my-snapshot", "--name", "web", "--env", "A=b=c", "--label", "team=x", "--auto-stop", "0", "--auto-delete", "60"))
	var box api.Sandbox
	if err := yaml.Unmarshal([]byte(must(t, "info", "web", "-f", "yaml")), &box); err != nil {
		t.Fatal(err)
	}
	var list []api.SandboxSummary
	if err := json.Unmarshal([]byte(must(t, "list", "--label", "team=x", "-f", "json")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].ID != id || list[0].AutoStopInterval != 0 || list[0].AutoDeleteInterval != 60 || list[0].State != "started" {
		t.Errorf("listed %+v", list)
	}
	if out := must(t, "list"); !strings.Contains(out, id) || !strings.Contains(out, "NAME") {
		t.Errorf("table %q", out)
	}
	if out := must(t, "info", id); !strings.Contains(out, "team=x") || !strings.Contains(out, "never") {
		t.Errorf("info %q", out)
	}
	if out := must(t, "exec", "web", "--", "echo", "$A", "it's"); out != "$A it's\n" {
		t.Errorf("exec of words printed %q", out)
	}
	if out := must(t, "exec", "web", "--", "echo $A | tr b d"); out != "d=c\n" {
		t.Errorf("exec of a line printed %q", out)
	}
	must(t, "stop", "web")
	must(t, "start", "web")
	must(t, "snapshot", "deactivate", "my-snapshot")
	must(t, "snapshot", "activate", "my-snapshot")
	must(t, "snapshot", "delete", "my-snapshot")
	must(t, "delete", "web")
	if r := run(t, "info", "web"); r.code != exitNotFound || r.out != "" || !strings.HasPrefix(r.err, "Error: ") {
		t.Errorf("a deleted sandbox: %+v", r)
	}
}

func TestFieldsHaveTheNamesOfTheAPI(t *testing.T) {
	serve(t)
	must(t, "snapshot", "create", "default", "--image", "debian:12.9")
	for _, format := range []string{"json", "yaml"} {
		var got map[string]any
		if err := yaml.Unmarshal([]byte(must(t, "snapshot", "get", "default", "-f", format)), &got); err != nil {
			t.Fatal(err)
		}
		if got["imageName"] != "debian:12.9" || got["mem"] != 1 {
			t.Errorf("%s: %v", format, got)
		}
	}
	for _, command := range [][]string{{"list"}, {"profile", "list"}, {"snapshot", "list", "--name", "none"}} {
		if out := must(t, append(command, "-f", "json")...); out != "[]\n" {
			t.Errorf("%v of none printed %q", command, out)
		}
	}
}

func TestSnapshotsAreListedByPages(t *testing.T) {
	serve(t)
	for _, name := range []string{"a", "b", "c"} {
		must(t, "snapshot", "create", name, "--image", "debian:12.9")
	}
	out := must(t, "snapshot", "list", "--page", "2", "--limit", "2")
	if !strings.Contains(out, "\na ") || strings.Contains(out, "\nb ") || !strings.Contains(out, "Page 2 of 2, 3 snapshots in total.") {
		t.Errorf("page 2 is %q", out)
	}
	if r := run(t, "snapshot", "list", "--page", "0"); r.code != exitUsage {
		t.Errorf("page 0: %+v", r)
	}
}

func TestSeveralAreDeletedAndFailuresAreTold(t *testing.T) {
	serve(t)
	must(t, "snapshot", "create", "default", "--image", "debian:12.9")
	for _, name := range []string{"a", "b", "c", "d"} {
		must(t, "create", "--name", name)
	}
	r := run(t, "delete", "a", "none", "b", "nothing")
	if r.code != exitNotFound || !strings.Contains(r.err, "a deleted") || !strings.Contains(r.err, "b deleted") || strings.Count(r.err, "Error: ") != 2 {
		t.Errorf("got %+v", r)
	}
	must(t, "create", "--name", "a") // its name is free
	must(t, "delete", "--all")
	if out := must(t, "list", "-f", "json"); out != "[]\n" {
		t.Errorf("left over: %s", out)
	}
	if r := run(t, "delete"); r.code != exitUsage {
		t.Errorf("delete of nothing: %+v", r)
	}
	if r := run(t, "delete", "--all", "a"); r.code != exitUsage {
		t.Errorf("delete of all and one: %+v", r)
	}
}

func TestTheVersionAndTheCompletions(t *testing.T) {
	bare(t)
	if out := must(t, "version"); out != "daytona 1.2.3\n" {
		t.Errorf("version %q", out)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out := must(t, "completion", shell); !strings.Contains(out, "daytona") {
			t.Errorf("%s: %q", shell, out)
		}
	}
	if out := must(t, "--help"); !strings.Contains(out, "Exit codes") {
		t.Errorf("help %q", out)
	}
}

func TestForksSnapshotsOfSandboxesAndWarmPools(t *testing.T) {
	serve(t)
	must(t, "snapshot", "create", "snap", "--image", "python:3.11-slim")
	must(t, "create", "--snapshot", "snap", "--name", "web")
	if out := must(t, "fork", "web", "--name", "copy"); out != "Sandbox copy is started.\n" {
		t.Errorf("fork: %q", out)
	}
	if r := run(t, "fork", "none"); r.code != exitNotFound {
		t.Errorf("fork of nothing: %+v", r)
	}
	if out := must(t, "snapshot", "create", "saved", "--sandbox", "web"); out != "Snapshot saved is active.\n" {
		t.Errorf("snapshot of a sandbox: %q", out)
	}
	for _, wrong := range [][]string{
		{"snapshot", "create", "x", "--sandbox", "web", "--image", "python:3.11-slim"},
		{"snapshot", "create", "x", "--sandbox", "web", "--cpu", "2"},
		{"warm-pool", "create", "saved"},
	} {
		if r := run(t, wrong...); r.code != exitUsage {
			t.Errorf("%v: %+v", wrong, r)
		}
	}

	if out := must(t, "warm-pool", "create", "saved", "--size", "2"); !strings.HasPrefix(out, "Warm pool of saved: ") || !strings.HasSuffix(out, " of 2 sandboxes are ready.\n") {
		t.Errorf("pool: %q", out)
	}
	if out := must(t, "warm-pool", "resize", "saved", "--size", "0"); !strings.HasSuffix(out, " of 0 sandboxes are ready.\n") {
		t.Errorf("smaller pool: %q", out)
	}
	if out := must(t, "warm-pool", "list"); !strings.Contains(out, "saved") {
		t.Errorf("pools: %q", out)
	}
	if r := run(t, "warm-pool", "delete", "saved", "none"); r.code != exitNotFound || strings.Count(r.err, "deleted") != 1 {
		t.Errorf("deleted: %+v", r)
	}
	if out := must(t, "warm-pool", "list", "-f", "json"); out != "[]\n" {
		t.Errorf("left: %s", out)
	}
}
