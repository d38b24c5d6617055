package pki

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestTheAuthorityIsWrittenAsAWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	first, err := OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	modes := map[string]os.FileMode{caKeyFile: 0o600, caFile: 0o644}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != len(modes) {
		t.Errorf("the directory has %v, %v", files, err)
	}
	for name, want := range modes {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
	again, err := OpenAuthority(dir)
	if err != nil || !bytes.Equal(again.PEM(), first.PEM()) {
		t.Errorf("the next start has another one: %v", err)
	}
	// A start that was killed between the two files.
	if err := os.Remove(filepath.Join(dir, caFile)); err != nil {
		t.Fatal(err)
	}
	if made, err := OpenAuthority(dir); err != nil || bytes.Equal(made.PEM(), first.PEM()) {
		t.Errorf("without its certificate: %v", err)
	}
}
