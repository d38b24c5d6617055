package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/toolbox/boot"
)

// A login shell has what commands have, whatever /etc/profile and su do.
func TestLoginShellsHaveThePathAndTheVariablesOfCommands(t *testing.T) {
	for _, user := range []string{"root", "nobody"} {
		profile := filepath.Join(t.TempDir(), "dir", "profile")
		if err := os.Chmod(filepath.Dir(filepath.Dir(filepath.Dir(profile))), 0o755); err != nil {
			t.Fatal(err)
		}
		s := startSandboxAfter(t, boot.Config{
			User: user, Profile: profile,
			Env: map[string]string{"PATH": "/home/daytona/.npm-global/bin:/usr/bin:/bin:/sbin", "A": "it's $HOME", "HOME": "/elsewhere", "TERM": "x", "not-a-name": "x", "B": "b"},
		}, t.TempDir(), "mount -t tmpfs none /root && mount -t tmpfs -o mode=755 none /etc/profile.d && echo '. "+profile+"' >/etc/profile.d/00-daytona.sh")
		const show = `'echo "$PATH|$A|$B|$C"'`
		shells := []string{"bash -lc ", "env -i /bin/bash -lc ", "env -i /bin/sh -lc "}
		if user == "root" {
			shells = append(shells, "su - root -c ")
		}
		for _, shell := range shells {
			want := "/home/daytona/.npm-global/bin:/usr/bin:/bin:/sbin|it's $HOME|b|\n"
			if a := s.execute(shell + show); a.Result != want {
				t.Errorf("%s as %s: %q %s", shell, user, a.Result, a.Message)
			}
		}
		if a := s.execute("B=own bash -lc " + show); !strings.Contains(a.Result, "|own|") {
			t.Errorf("what is there already: %+v", a)
		}
		s.call("POST", "/env", map[string]any{"set": map[string]string{"C": "new"}, "unset": []string{"A"}})
		if a := s.execute("env -i /bin/bash -lc " + show); !strings.HasSuffix(a.Result, "||b|new\n") {
			t.Errorf("after a change: %+v", a)
		}
		if a := s.execute("env -i /bin/bash -lc 'echo $HOME $TERM'"); strings.Contains(a.Result, "elsewhere") || strings.Contains(a.Result, "x") {
			t.Errorf("what a login sets: %+v", a)
		}
		info, err := os.Stat(profile)
		if err != nil || info.Mode() != 0o400 {
			t.Errorf("others can read it: %v %v", info, err)
		}
	}
}
