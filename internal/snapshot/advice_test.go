package snapshot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/image"
)

func TestAnImageWithDockerWarnsOfSmallSandboxes(t *testing.T) {
	layer := func(path string) string {
		dir := t.TempDir()
		if path != "" {
			path = filepath.Join(dir, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	docker, none := layer("usr/sbin/dockerd"), layer("")
	removed := layer("usr/sbin/other")
	if err := unix.Mknod(filepath.Join(removed, "usr/sbin/dockerd"), unix.S_IFCHR, 0); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		layers []string
		r      Resources
		warns  bool
	}{
		"too few cores":      {[]string{none, docker}, Resources{CPU: 1, Memory: 4, Disk: 3}, true},
		"too little memory":  {[]string{docker}, Resources{CPU: 2, Memory: 3, Disk: 3}, true},
		"enough":             {[]string{docker}, Resources{CPU: 2, Memory: 4, Disk: 3}, false},
		"without Docker":     {[]string{none}, Resources{CPU: 1, Memory: 1, Disk: 3}, false},
		"a layer removed it": {[]string{removed, docker}, Resources{CPU: 1, Memory: 1, Disk: 3}, false},
	} {
		got := advice(&image.Image{Layers: c.layers}, c.r)
		if (got != "") != c.warns || c.warns && !strings.Contains(got, "at least 2 cores and 4 GiB") {
			t.Errorf("%s: %q", name, got)
		}
	}
}
