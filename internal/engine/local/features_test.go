package local

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// answering is an OCI runtime that says what it is told to and does nothing.
func answering(t *testing.T, version, help, features string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "runtime")
	script := "#!/bin/sh\ncase $1 in\n--version) echo '" + version + "' ;;\nrun) echo '" + help + "' ;;\nfeatures) " + features + " ;;\nesac\n"
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return program
}

func TestRuntimesThatCannotRunSandboxesAreRefused(t *testing.T) {
	const (
		help = "--preserve-fds value --keep"
		none = "echo no such command >&2; exit 1"
	)
	for name, c := range map[string]struct {
		version, help, features string
		refusal                 string // "" for none
	}{
		"Debian 12's runc":            {version: "runc version 1.1.5+ds1", help: help, features: none},
		"a release candidate":         {version: "runc version 1.6.0-rc.1", help: help, features: none},
		"a runc of before --keep":     {version: "runc version 1.0.2", help: "--preserve-fds value", features: none, refusal: "runc 1.1 or newer"},
		"Debian 12's crun":            {version: "crun version 1.8.1", help: "--preserve-fds=N keep the same session key", features: none, refusal: "crun 1.15 or newer"},
		"a newer crun":                {version: "crun version 1.21", help: help, features: none},
		"another without descriptors": {version: "runsc version release-1", help: "--pass-fd", features: none, refusal: "--preserve-fds"},
		"another that takes them":     {version: "other 3", help: help, features: none},
		"one without seccomp":         {version: "runc version 1.3.6", help: help, features: `echo '{"linux":{"seccomp":{"enabled":false}}}'`, refusal: "without seccomp"},
		"one without user namespaces": {version: "other 3", help: help, features: `echo '{"linux":{"namespaces":["mount","pid"]}}'`, refusal: "user namespaces"},
		"one that says no JSON":       {version: "runc version 1.3.6", help: help, features: "echo yes"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := askRuntime(t.Context(), answering(t, c.version, c.help, c.features))
			if err != nil {
				t.Fatal(err)
			}
			err = f.suits()
			switch {
			case c.refusal == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.refusal != "" && (err == nil || !strings.Contains(err.Error(), c.refusal)):
				t.Errorf("got %v, want %q", err, c.refusal)
			}
		})
	}
}

func TestTheServerAndItsCheckRefuseTheSameRuntime(t *testing.T) {
	program := answering(t, "runc version 1.0.2", "--preserve-fds value", "exit 1")
	r, err := openRuntime(t.Context(), program, t.TempDir())
	r.close()
	if err == nil || !strings.Contains(err.Error(), program) || !strings.Contains(err.Error(), "--keep") {
		t.Errorf("open: %v", err)
	}
	if got := checkRuntime(t.Context(), program); got.OK || got.Optional || got.Detail != err.Error() {
		t.Errorf("check: %+v, open: %v", got, err)
	}
}

func TestARuntimeThatDoesNotAnswerIsRefused(t *testing.T) {
	for _, script := range []string{"#!/bin/sh\necho broken >&2; exit 3\n", "not a program"} {
		program := filepath.Join(t.TempDir(), "broken")
		if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := probeRuntime(t.Context(), program); err == nil || !strings.Contains(err.Error(), program) {
			t.Errorf("%q: %v", script, err)
		}
	}
	hangs := answering(t, "runc version 1.3.6", "--preserve-fds value --keep", "exec sleep 60")
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := probeRuntime(ctx, hangs); err == nil || time.Since(began) > 10*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
}
