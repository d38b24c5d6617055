// Package launchtest gives tests of the agent a user with a home, and a Launcher
// that runs programs as that user. For tests only.
package launchtest

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/opendaytona/daytona/internal/toolbox/boot"
	"github.com/opendaytona/daytona/internal/toolbox/identity"
	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/proc"
)

// Processes collects for all tests of a package: there can be one table only.
var Processes = sync.OnceValue(func() *proc.Table { return proc.New(false) })

// UserID is neither root's nor that of the tests, where that may be.
func UserID() int {
	if os.Geteuid() == 0 {
		return 4242
	}
	return os.Geteuid()
}

// Dir is a temporary directory that every user may enter.
func Dir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// New makes a user whose home is the working directory too, with the environment,
// and returns the home.
func New(t testing.TB, env map[string]string) (l *launch.Launcher, home string) {
	t.Helper()
	return NewAs(t, Dir(t), UserID(), os.Getegid(), env)
}

// NewAs is New for a user with these ids, whose home is in dir.
func NewAs(t testing.TB, dir string, uid, gid int, env map[string]string) (l *launch.Launcher, home string) {
	t.Helper()
	home, etc := filepath.Join(dir, "home"), filepath.Join(dir, "etc")
	for _, d := range []string{home, etc} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(home, uid, -1); err != nil {
		t.Fatal(err)
	}
	passwd := fmt.Sprintf("user:x:%d:%d::%s:/bin/sh\n", uid, gid, home)
	if err := os.WriteFile(filepath.Join(etc, "passwd"), []byte(passwd), 0o644); err != nil {
		t.Fatal(err)
	}
	return launch.New(boot.Config{User: "user", WorkDir: home, Env: env}, nil, identity.New(etc), Processes()), home
}
