package image

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWhatAnImageHasIsInItsLayers(t *testing.T) {
	layer, host := t.TempDir(), t.TempDir()
	for _, dir := range []string{layer, host} {
		if err := os.WriteFile(filepath.Join(dir, "program"), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"absolute": host, "relative": "../" + filepath.Base(host), "inside": "."} {
		if err := os.Symlink(target, filepath.Join(layer, name)); err != nil {
			t.Fatal(err)
		}
	}
	image := Image{Layers: []string{layer}}
	for path, want := range map[string]bool{
		"/program": true, "/inside/program": true, "/none": false,
		"/absolute/program": false, "/relative/program": false, "/../" + filepath.Base(host) + "/program": false,
	} {
		if image.Has(path) != want {
			t.Errorf("%s is there: %t, want %t", path, !want, want)
		}
	}
}
