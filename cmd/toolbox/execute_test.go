package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/toolbox/boot"
)

// shells are directories with one shell each, by the name that the agent looks
// for.
func shells(t *testing.T) map[string]string {
	t.Helper()
	dirs := map[string]string{}
	for shell, name := range map[string]string{"bash": "bash", "dash": "sh", "busybox": "sh"} {
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Fatal(err)
		}
		dirs[shell] = t.TempDir()
		err = errors.Join(os.Symlink(path, filepath.Join(dirs[shell], name)), os.Chmod(filepath.Dir(dirs[shell]), 0o755))
		if err != nil {
			t.Fatal(err)
		}
	}
	return dirs
}

// A command has the same meaning on both sides of the kernel's limit for an
// argument.
func TestCommandsOfAnyLengthMeanTheSame(t *testing.T) {
	const limit = 128 << 10
	for shell, dir := range shells(t) {
		t.Run(shell, func(t *testing.T) {
			s := startSandbox(t, boot.Config{User: "nobody", Env: map[string]string{"PATH": dir + ":/usr/bin:/bin"}})
			ask := func(command string, envs map[string]string) answer {
				return s.call("POST", "/process/execute", map[string]any{"command": command, "envs": envs, "cwd": "/usr"})
			}
			for name, c := range map[string]struct {
				command, result string
				code            int
			}{
				"output, code and directory": {"echo \"it's $A\"; pwd; exit 3", "it's a b\n/usr\n", 3},
				"standard input is empty":    {"cat; echo $?", "0\n", 0},
				"no descriptor is left over": {"readlink /proc/$$/fd/3 || echo none", "none\n", 0},
				"here document":              {"cat <<END\n$A\nEND\n", "a b\n", 0},
				"functions and their result": {"f() { return 7; }; f", "", 7},
				"traps":                      {"trap 'echo bye' EXIT; false", "bye\n", 1},
				"lines":                      {"set -e\nfalse\necho not reached", "", 1},
				"a replaced shell":           {"exec echo replaced", "replaced\n", 0},
				"both streams in order":      {"echo a; echo b >&2; echo c", "a\nb\nc\n", 0},
			} {
				for _, length := range []int{0, limit - 1, limit, limit + 1, 1 << 20} {
					command := c.command
					if pad := length - len(command); pad > 1 { // a comment before it
						command = ":" + strings.Repeat("#", pad-2) + "\n" + command
						command = strings.Replace(command, ":#", ": #", 1)
					}
					if a := ask(command, map[string]string{"A": "a b"}); a.status != 200 || a.Result != c.result || a.ExitCode != c.code {
						t.Errorf("%s, %d bytes: %d %q %q, code %d", name, len(command), a.status, a.Message, a.Result, a.ExitCode)
					}
				}
			}
			word := strings.Repeat("x", 3<<20)
			if a := ask("v="+word+"; echo ${#v}", nil); a.Result != fmt.Sprintln(len(word)) {
				t.Errorf("one long word: %+v", a)
			}
		})
	}
}

func TestAShellIsFoundWhateverThePathIs(t *testing.T) {
	for _, path := range []string{"/nothing", "", "relative", "/opt/app/bin"} {
		s := startSandbox(t, boot.Config{Env: map[string]string{"PATH": path}})
		if a := s.execute("echo \"found in $PATH\""); a.Result != "found in "+path+"\n" {
			t.Errorf("%q: %+v", path, a)
		}
		if a := s.call("POST", "/process/code-run", map[string]any{"code": "print(6 * 7)", "language": "python"}); a.Result != "42\n" {
			t.Errorf("%q: %+v", path, a)
		}
		if a := s.call("POST", "/process/session", map[string]string{"sessionId": "s"}); a.status != 201 {
			t.Errorf("%q: %+v", path, a)
		}
	}
}

func TestADirectoryMayBeTheHome(t *testing.T) {
	s := startSandbox(t, boot.Config{User: "root"})
	for cwd, want := range map[string]string{"~": "/root\n", "~/..": "/\n"} {
		if a := s.call("POST", "/process/execute", map[string]any{"command": "pwd", "cwd": cwd}); a.Result != want {
			t.Errorf("%s: %+v", cwd, a)
		}
	}
}
