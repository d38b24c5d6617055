//go:build linux

package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	daytona "github.com/opendaytona/daytona/sdk"
)

// box is a server with a sandbox "web".
func box(t *testing.T) {
	t.Helper()
	serve(t)
	must(t, "snapshot", "create", "default", "--image", "debian:12.9")
	must(t, "create", "--name", "web", "--env", "GREETING=hello")
}

func TestExecPassesOutputAndExitCodeThrough(t *testing.T) {
	box(t)
	for _, c := range []struct {
		args []string
		want result
	}{
		{[]string{"web", "--", "echo out; echo err >&2; exit 7"}, result{7, "out\n", "err\n"}},
		{[]string{"web", "--", "sh", "-c", "echo $GREETING; exit 3"}, result{3, "hello\n", ""}},
		{[]string{"web", "echo", "-n", "--format"}, result{0, "--format", ""}},
		{[]string{"--cwd", "/usr", "web", "--", "pwd"}, result{0, "/usr\n", ""}},
		{[]string{"web", "--", "cat; echo end"}, result{0, "end\n", ""}}, // nothing to read
		{[]string{"web", "--", "kill -9 $$"}, result{137, "", ""}},
		{[]string{"web", "--", "printf", `\000\001\001\377`}, result{0, "\x00\x01\x01\xff", ""}},
		{[]string{"--timeout", "1m", "web", "--", "true"}, result{0, "", ""}},
		{[]string{"web", "--", "echo ("}, result{code: 2}},
		{[]string{"web", "--", "head -c 3000000 /dev/zero | tr '\\0' x"}, result{0, strings.Repeat("x", 3000000), ""}},
	} {
		got := run(t, append([]string{"exec"}, c.args...)...)
		if c.want.code == 2 {
			got.out, got.err = "", "" // the shell's words
		}
		if got != c.want {
			t.Errorf("%q: %d %.100q %.200q", c.args, got.code, got.out, got.err)
		}
	}
	if r := run(t, "exec", "web", "--cwd", "/none", "--", "pwd"); r.code == 0 {
		t.Errorf("a flag after the sandbox's name is the command: %+v", r)
	}
	if r := run(t, "exec", "--cwd", "/none", "web", "--", "pwd"); r.code != exitFailed || !strings.Contains(r.err, "/none") {
		t.Errorf("a missing directory: %+v", r)
	}
}

func TestExecEndsWhatItRunsWithItsTime(t *testing.T) {
	box(t)
	program := fmt.Sprintf("sleep 61.%d", os.Getpid()) // as no other test's
	if r := run(t, "exec", "--timeout", "1", "web", "--", "echo begun; "+program+"; echo never"); r.code != exitTimeout || r.out != "begun\n" || !strings.Contains(r.err, "1s") {
		t.Errorf("got %+v", r)
	}
	ctx, interrupt := context.WithTimeout(t.Context(), time.Second)
	defer interrupt()
	soon, cancel := context.WithCancel(t.Context())
	defer cancel()
	context.AfterFunc(ctx, cancel)
	if r := runWith(t, soon, "", "exec", "web", "--", program); r.code != exitInterrupted || !strings.Contains(r.err, "interrupted") {
		t.Errorf("interrupted: %+v", r)
	}
	if out := must(t, "exec", "web", "--", "pgrep -x -f '"+program+"' || echo none"); out != "none\n" {
		t.Errorf("still running: %s", out)
	}
}

func TestExitCodesTellWhy(t *testing.T) {
	box(t)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"info", "none"}, exitNotFound, "none"},
		{[]string{"exec", "none", "--", "true"}, exitNotFound, "none"},
		{[]string{"snapshot", "get", "none"}, exitNotFound, "none"},
		{[]string{"create", "--snapshot", "none"}, exitNotFound, "none"},
		{[]string{"create", "--name", "web"}, exitFailed, "web"},
		{[]string{"snapshot", "create", "a", "--image", "debian:latest"}, exitFailed, "latest"},
		{[]string{"snapshot", "create", "a", "--image", "debian:missing"}, exitFailed, "check its name and tag"},
		{[]string{"snapshot", "create", "b", "--image", "debian:12.9", "--region", "mars"}, exitNotFound, "mars"},
		{[]string{"info", "web", "--api-key", "dtn_wrong"}, exitPermission, ""},
		{[]string{"info", "web", "--api-url", "http://127.0.0.1:1/api"}, exitFailed, "http://127.0.0.1:1/api"},
		{[]string{"info", "web", "--api-url", "localhost"}, exitFailed, "http://host:3986/api"},

		{[]string{"fly"}, exitUsage, "fly"},
		{[]string{"snapshot", "fly"}, exitUsage, "fly"},
		{[]string{"profile", "fly"}, exitUsage, "fly"},
		{[]string{"list", "--fly"}, exitUsage, "fly"},
		{[]string{"list", "more"}, exitUsage, "more"},
		{[]string{"info"}, exitUsage, "info SANDBOX"},
		{[]string{"exec", "web"}, exitUsage, "command"},
		{[]string{"exec", "--timeout", "soon", "web", "--", "true"}, exitUsage, "soon"},
		{[]string{"list", "--format", "xml"}, exitUsage, "xml"},
		{[]string{"create", "--env", "A"}, exitUsage, "KEY=VALUE"},
		{[]string{"create", "--label", "=x"}, exitUsage, "KEY=VALUE"},
		{[]string{"create", "--auto-stop", "x"}, exitUsage, "auto-stop"},
		{[]string{"snapshot", "create", "a"}, exitUsage, "--image"},
		{[]string{"snapshot", "create", "--image", "debian:12.9"}, exitUsage, "name"},
		{[]string{"snapshot", "create", "a", "--image", "debian:12.9", "--cpu", "0"}, exitUsage, "--cpu"},
		{[]string{"snapshot", "create", "a", "--image", "debian:12.9", "--entrypoint", "'"}, exitUsage, "--entrypoint"},
	} {
		r := run(t, c.args...)
		if r.code != c.code || r.out != "" || !strings.Contains(r.err, c.says) || !strings.Contains(r.err, "Error: ") || strings.Contains(r.err, "Usage:") {
			t.Errorf("%q: exit code %d, want %d; stdout %q, stderr %q", c.args, r.code, c.code, r.out, r.err)
		}
	}
}

func TestAWaitEndsWithTheStateOrTheTime(t *testing.T) {
	s := serve(t)
	must(t, "snapshot", "create", "default", "--image", "debian:12.9")
	s.Machine.FailStarts(errors.New("the disk is on fire"))
	if r := run(t, "create", "--name", "web"); r.code != exitFailed || !strings.Contains(r.err, "error") || !strings.Contains(r.err, "daytona delete") {
		t.Errorf("a failed start: %+v", r)
	}
	if r := run(t, "start", "web"); r.code != exitFailed {
		t.Errorf("a failed restart: %+v", r)
	}
	s.Machine.FailStarts(nil)
	must(t, "start", "web")

	release := s.Images.HoldPulls()
	defer release()
	if r := run(t, "snapshot", "create", "slow", "--image", "slow:1", "--timeout", "2s"); r.code != exitTimeout || !strings.Contains(r.err, "slow") || !strings.Contains(r.err, "timed out") {
		t.Errorf("a slow pull: %+v", r)
	}
	release()
	must(t, "create", "--snapshot", "slow") // it went on
}

func TestKeysWithoutThePermissionAreToldSo(t *testing.T) {
	s := serve(t)
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"statusCode":403,"message":"The key may not do this."}`))
	}))
	defer refusing.Close()
	if r := run(t, "list", "--api-url", refusing.URL, "--api-key", s.Key); r.code != exitPermission || r.err != "Error: The key may not do this.\n" {
		t.Errorf("got %+v", r)
	}
	if code := exitCode(daytona.ErrForbidden); code != exitPermission {
		t.Errorf("exit code %d", code)
	}
}
