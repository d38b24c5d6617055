package image

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAStoreWithoutItsMetadataIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	o := Options{Dir: dir, Log: slog.New(slog.DiscardHandler)}
	open := func() error {
		s, err := Open(t.Context(), o)
		if err == nil {
			err = s.Close()
		}
		return err
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	blob := filepath.Join(dir, "content/blobs/sha256", strings.Repeat("a", 64))
	if err := os.MkdirAll(filepath.Dir(blob), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(blob, []byte("a layer"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, metadataName)
	for name, lose := range map[string]func() error{
		"empty": func() error { return os.Truncate(file, 0) },
		"gone":  func() error { return os.Remove(file) },
	} {
		if err := lose(); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if err := open(); err == nil || !strings.Contains(err.Error(), "restore it from a backup") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(blob); err != nil {
			t.Errorf("%s: the layer was collected: %v", name, err)
		}
	}
}
