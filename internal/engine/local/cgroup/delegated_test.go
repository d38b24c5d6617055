package cgroup

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheServicesOwnTreeIsFoundByItsMark(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root")
	}
	root := t.TempDir()
	for _, dir := range []string{"system.slice/daytona.service/server", "system.slice/old.service", "user.slice/shell.scope/server"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Setxattr(filepath.Join(root, "system.slice/daytona.service"), "trusted.delegate", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(filepath.Join(root, "system.slice/old.service"), "trusted.delegate", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	for groups, want := range map[string]string{
		"0::/system.slice/daytona.service/server\n": "system.slice/daytona.service",
		"0::/system.slice/old.service\n":            "", // it is in the group itself
		"0::/user.slice/shell.scope/server\n":       "",
		"0::/server\n":                              "",
		"0::/\n":                                    "",
		"":                                          "",
	} {
		if got := delegatedAbove(root, groups); got != want {
			t.Errorf("%q: %q, not %q", groups, got, want)
		}
	}
}
