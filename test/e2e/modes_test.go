package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	daytona "github.com/opendaytona/daytona/sdk"
	"github.com/opendaytona/daytona/test/serve"
)

// What other accounts of the machine may read: the certificate that clients
// trust, and names of directories that sandboxes, which are other users, pass.
var public = map[string]bool{"tls/ca.crt": true}

// readable are the files and directories below dir that an account without any
// right of its own can read.
func readable(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if name := strings.TrimPrefix(path, dir+"/"); info.Mode().Perm()&0o004 != 0 && !public[name] {
			names = append(names, name)
		}
		if d.IsDir() && info.Mode().Perm()&0o001 == 0 {
			return fs.SkipDir // nobody gets in
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestNoOtherAccountReadsTheDataDirectory(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	s.Snapshot("box", box)
	parent := s.Sandbox("box")
	s.Output(parent.ID, "echo secret >/mark")
	if err := parent.CreateSnapshot(t.Context(), "saved"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"Dockerfile": "FROM " + box + "\nCOPY file /file\n", "file": "secret"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Client.Snapshot.Create(t.Context(), daytona.CreateSnapshotParams{Name: "built", Build: daytona.FromDockerfile(filepath.Join(dir, "Dockerfile"))}, nil); err != nil {
		t.Fatal(err)
	}
	if names := readable(t, s.Data); len(names) > 0 {
		t.Errorf("others read %q", names)
	}

	// As an earlier server left it.
	s.End(unix.SIGTERM)
	for _, name := range []string{"images/content", "contexts/objects"} {
		if err := os.Chmod(filepath.Join(s.Data, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.Start()
	if names := readable(t, s.Data); len(names) > 0 {
		t.Errorf("after a restart others read %q", names)
	}
}
