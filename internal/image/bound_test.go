package image

import (
	"archive/tar"
	"errors"
	"testing"
)

func TestTheFilesOfALayerAreCountedWithTheDirectoriesOnTheirWay(t *testing.T) {
	for _, c := range []struct {
		name  string
		paths []string
		want  int64
	}{
		{"a tree in order", []string{"usr/", "usr/bin/", "usr/bin/a", "usr/bin/b", "usr/lib/", "usr/lib/c", "var/"}, 7},
		{"without its directories", []string{"usr/bin/a", "usr/bin/b", "usr/lib/c"}, 6},
		{"names that begin alike", []string{"usr/", "usr/bin", "usr/bin2/x"}, 4},
		{"the same again", []string{"a", "a", "./a"}, 3},
		{"a deep way", []string{"a/b/c/d/e/f", "g/h/i/j/k/l"}, 12},
	} {
		t.Run(c.name, func(t *testing.T) {
			var files, size int64
			m := &meter{take: func(s, f int64) error { size, files = size+s, files+f; return nil }}
			for _, p := range c.paths {
				if ok, err := m.entry(&tar.Header{Name: p, Typeflag: tar.TypeReg, Size: 3}); !ok || err != nil {
					t.Fatal(ok, err)
				}
			}
			if files != c.want || size != 3*int64(len(c.paths)) {
				t.Errorf("%d files, %d bytes, want %d files", files, size, c.want)
			}
		})
	}
}

func TestALimitIsMetBeforeMoreIsUnpacked(t *testing.T) {
	take := Limited(10, 3)
	if err := errors.Join(take(5, 1), take(5, 1), take(0, 1)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string][2]int64{"size": {1, 0}, "files": {0, 1}} {
		if err := take(c[0], c[1]); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Limited(0, 0)(1<<60, 1<<60); err != nil {
		t.Errorf("no limit: %v", err)
	}
}
