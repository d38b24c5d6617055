//go:build linux

package buildcontext

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/sdk/internal/filetree"
)

func names(s Set) (out []string) {
	for name := range s.entries {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func TestOnlyWhatIsCopiedAndNotIgnoredIsTaken(t *testing.T) {
	dir := filetree.Make(t, map[string]string{
		"app/main.py": "x", "app/main.pyc": "x", "app/keep.pyc": "x", "app/empty/": "", "app/link": "->../shared/lib", "shared/lib": "x",
		"other": "x", ".git/HEAD": "x", "Dockerfile": "x", "secret.env": "x", ".dockerignore": "# comment\n**/*.pyc\n!app/keep.pyc\n.git\nsecret.env\n",
	})
	ignore, err := Ignored(filepath.Join(dir, "Dockerfile"), dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		patterns []string
		only     []string
		want     []string
	}{
		"a folder":           {[]string{"app"}, nil, []string{"app", "app/empty", "app/keep.pyc", "app/link", "app/main.py"}},
		"a pattern":          {[]string{"app/*.py"}, nil, []string{"app", "app/main.py"}},
		"what a link is":     {[]string{"app/link"}, nil, []string{"app", "app/link", "shared", "shared/lib"}},
		"what is not there":  {[]string{"none"}, nil, nil},
		"what is ignored":    {[]string{"secret.env", "other"}, nil, []string{"other"}},
		"everything":         {[]string{"."}, nil, []string{".dockerignore", "Dockerfile", "app", "app/empty", "app/keep.pyc", "app/link", "app/main.py", "other", "shared", "shared/lib"}},
		"everything of some": {[]string{"."}, []string{"shared"}, []string{"shared", "shared/lib"}},
	} {
		var s Set
		if err := s.AddCopied(t.Context(), c.patterns, Source{Dir: dir, Only: c.only, Ignore: ignore}); err != nil || !slices.Equal(names(s), c.want) {
			t.Errorf("%s: %q, %v, want %q", name, names(s), err, c.want)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile.dockerignore"), []byte("app\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if ignore, err = Ignored(filepath.Join(dir, "Dockerfile"), dir); err != nil || !slices.Equal(ignore, []string{"app", ".dockerignore"}) {
		t.Errorf("the Dockerfile's own: %q, %v", ignore, err)
	}
}

func TestTheFirstOfSeveralPlacesCounts(t *testing.T) {
	one, two := filetree.Make(t, map[string]string{"a": "one", "b": "one"}), filetree.Make(t, map[string]string{"a": "two", "c": "two"})
	var s Set
	if err := s.AddCopied(t.Context(), []string{"."}, Source{Dir: one}, Source{Dir: two}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(names(s), []string{"a", "b", "c"}) || s.entries["a"].path != filepath.Join(one, "a") {
		t.Errorf("%+v", s.entries)
	}
	if err := s.AddFile("a", filepath.Join(two, "a")); err == nil || !strings.Contains(err.Error(), "would both be a") {
		t.Errorf("two files of one name: %v", err)
	}
}

func archives(t *testing.T, dir string) []Archive {
	t.Helper()
	var s Set
	if err := s.AddCopied(t.Context(), []string{"."}, Source{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	all, err := s.Archives(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// missing counts those of after that are not in before.
func missing(before, after []Archive) (n int) {
	for _, a := range after {
		if !slices.ContainsFunc(before, func(b Archive) bool { return b.Hash == a.Hash }) {
			n++
		}
	}
	return n
}

func TestAHashTellsContentsAndPermissionsButNoTimes(t *testing.T) {
	files := map[string]string{"one/a": "x", "two/b": "x", "root": "x", "link": "->root", "big": strings.Repeat("x", largeFile)}
	dir := filetree.Make(t, files)
	before := archives(t, dir)
	if len(before) != 4 {
		t.Errorf("%d parts, want the root, two folders and a large file", len(before))
	}
	if n := missing(before, archives(t, filetree.Make(t, files))); n != 0 {
		t.Errorf("%d parts differ elsewhere and later", n)
	}
	for name, change := range map[string]func() error{
		"a content":    func() error { return os.WriteFile(filepath.Join(dir, "one/a"), []byte("y"), 0o644) },
		"a permission": func() error { return os.Chmod(filepath.Join(dir, "two/b"), 0o755) },
		"a link": func() error {
			return errors.Join(os.Remove(filepath.Join(dir, "link")), os.Symlink("one", filepath.Join(dir, "link")))
		},
		"a name":      func() error { return os.Rename(filepath.Join(dir, "root"), filepath.Join(dir, "root2")) },
		"an addition": func() error { return os.Mkdir(filepath.Join(dir, "two/new"), 0o755) },
	} {
		before := archives(t, dir)
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if n := missing(before, archives(t, dir)); n != 1 {
			t.Errorf("%s changes %d parts, want 1", name, n)
		}
	}
}

func TestSizeAndCountAreLimited(t *testing.T) {
	for _, c := range []struct {
		bytes   int64
		entries int
		fits    bool
	}{{MaxBytes, MaxEntries, true}, {MaxBytes + 1, 1, false}, {0, MaxEntries + 1, false}} {
		if err := check(c.bytes, c.entries); errors.Is(err, ErrLimit) == c.fits {
			t.Errorf("%+v: %v", c, err)
		}
	}
	var s Set
	if err := s.add(entry{name: "a", size: MaxBytes + 1}); !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), ".dockerignore") {
		t.Error(err)
	}
}
