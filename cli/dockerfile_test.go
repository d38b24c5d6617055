//go:build linux

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestADockerfileBecomesASnapshotOrASandbox(t *testing.T) {
	serve(t)
	dir := t.TempDir()
	for name, text := range map[string]string{"Dockerfile": "FROM debian:12.9\nRUN echo made", "Other": "FROM debian:12.9\nRUN echo other", "Bad": "FROM debian:12.9\nCOPPY a b\n", "Fails": "FROM debian:12.9\nRUN FAIL\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	r := run(t, "snapshot", "create", "built", "--dockerfile", "Dockerfile", "--cpu", "2")
	if r.code != 0 || r.out != "Snapshot built is active.\n" || !strings.Contains(r.err, "step RUN echo made\n") {
		t.Errorf("snapshot: %+v", r)
	}
	r = run(t, "create", "--dockerfile", "Dockerfile", "--context", ".", "--name", "again")
	if r.code != 0 || !strings.Contains(r.err, "The same build was made before") {
		t.Errorf("sandbox of the same build: %+v", r)
	}
	must(t, "delete", "again")
	r = run(t, "create", "--dockerfile", "Other", "--context", ".", "--memory", "2", "--name", "box")
	if r.code != 0 || !strings.Contains(r.err, "step RUN echo other\n") {
		t.Errorf("sandbox: %+v", r)
	}
	if info := must(t, "info", "box"); !strings.Contains(info, "2 GiB") {
		t.Errorf("info: %s", info)
	}
	must(t, "delete", "box")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"snapshot", "create", "x", "--dockerfile", "none"}, 3, "none does not exist"},
		{[]string{"snapshot", "create", "x", "--dockerfile", "Bad"}, 1, "line 2: unknown instruction: COPPY"},
		{[]string{"snapshot", "create", "x", "--dockerfile", "Fails"}, 1, "line 2"},
		{[]string{"snapshot", "create", "x", "--dockerfile", "Dockerfile", "--context", "none"}, 3, "none does not exist"},
		{[]string{"snapshot", "create", "x", "--dockerfile", "Dockerfile", "--image", "a:1"}, 2, "exactly one of"},
		{[]string{"snapshot", "create", "x", "--context", "."}, 2, "--dockerfile"},
		{[]string{"create", "--dockerfile", "Dockerfile", "--snapshot", "built"}, 2, "cannot be used together"},
		{[]string{"create", "--dockerfile", "Dockerfile", "--cpu", "0"}, 2, "above 0"},
		{[]string{"create", "--snapshot", "built", "--cpu", "2"}, 2, "--dockerfile"},
	} {
		if r := run(t, c.args...); r.code != c.code || !strings.Contains(r.err, c.says) {
			t.Errorf("%q: %+v", c.args, r)
		}
	}
}
