package image

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAnImageTellsWhichUserOrGroupItLacks(t *testing.T) {
	top, base := t.TempDir(), t.TempDir()
	for _, f := range []struct{ path, text string }{
		{top + "/etc/passwd", "root:x:0:0::/root:/bin/sh\ndaytona:x:1000:1000::/home/daytona:/bin/bash\n"},
		{base + "/etc/passwd", "hidden:x:5:5::/:/bin/sh\n"},
		{base + "/etc/group", "root:x:0:\nvideo:x:44:daytona\n"},
	} {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f.path, []byte(f.text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	img := &Image{Layers: []string{top, base}}
	for spec, want := range map[string]string{
		"": "", "root": "", "daytona": "", "0": "", "4242": "", "daytona:video": "", "1000:44": "", "4242:4242": "",
		"nobody": `user "nobody"`, "hidden": `user "hidden"`, "daytona:wheel": `group "wheel"`, "nobody:video": `user "nobody"`, "12x": `user "12x"`,
	} {
		if got, err := img.Lacks(spec); got != want || err != nil {
			t.Errorf("%q: %q, %v", spec, got, err)
		}
	}
	if got, err := (&Image{Layers: []string{t.TempDir()}}).Lacks("root"); got != "" || err != nil {
		t.Errorf("root of an image without files: %q, %v", got, err)
	}
	if got, err := (&Image{Layers: []string{t.TempDir()}}).Lacks("someone"); got == "" || err != nil {
		t.Errorf("someone of an image without files: %q, %v", got, err)
	}
}
