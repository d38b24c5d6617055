package local

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/instance"
)

func TestAnotherRuntimeDirectoryIsRefusedWhileSandboxesRun(t *testing.T) {
	short := func() string { // t.TempDir is too long for sockets
		t.Helper()
		dir, err := os.MkdirTemp("", "run")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		if err := os.Chmod(dir, 0o711); err != nil { // sandboxes pass through
			t.Fatal(err)
		}
		return dir
	}
	first, second := short(), short()
	f := open(t, func(o *Options) { o.RuntimeDir = first })
	sb := f.create(nil)
	if err := f.Local.Close(); err != nil {
		t.Fatal(err)
	}
	moved := f.options
	moved.RuntimeDir = second
	for range 2 { // it is no other at the second time
		l, err := Open(t.Context(), moved)
		if err == nil {
			_ = l.Close()
			t.Fatal("it opens")
		}
		for _, says := range []string{"run with runtime directory " + first, "--runtime-dir " + first} {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%q is not in: %v", says, err)
			}
		}
	}
	// The same directory by another name is no other.
	link := filepath.Join(short(), "link")
	if err := os.Symlink(first, link); err != nil {
		t.Fatal(err)
	}
	f.options.RuntimeDir = link
	f.reopen()
	if st, err := f.Inspect(t.Context(), sb.ID); err != nil || st.Phase != engine.PhaseRunning {
		t.Fatalf("the sandbox does not run any more: %+v, %v", st, err)
	}
	if err := f.Stop(t.Context(), sb.ID, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Local.Close(); err != nil {
		t.Fatal(err)
	}
	f.options.RuntimeDir = second
	f.reopen()
	if err := f.Start(t.Context(), sb); err != nil {
		t.Error(err)
	}
	if _, there, err := instance.Find(filepath.Join(first, instancesDir), f.DataDir); there || err != nil {
		t.Errorf("the former directory still has it: %v", err)
	}
}
