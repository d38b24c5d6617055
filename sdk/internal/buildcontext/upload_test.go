//go:build linux

package buildcontext

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/objectstore"
)

// tree makes files, of which a name that ends in a slash is a directory, and a
// text that begins with -> a link.
func tree(t *testing.T, contents map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range contents {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		target, link := strings.CutPrefix(text, "->")
		switch {
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(p, 0o755)
		case link:
			err = os.Symlink(target, p)
		default:
			err = os.WriteFile(p, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func names(s Set) (out []string) {
	for name := range s.entries {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func TestOnlyWhatIsCopiedAndNotIgnoredIsTaken(t *testing.T) {
	dir := tree(t, map[string]string{
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
	one, two := tree(t, map[string]string{"a": "one", "b": "one"}), tree(t, map[string]string{"a": "two", "c": "two"})
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
	dir := tree(t, files)
	before := archives(t, dir)
	if len(before) != 4 {
		t.Errorf("%d parts, want the root, two folders and a large file", len(before))
	}
	if n := missing(before, archives(t, tree(t, files))); n != 0 {
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

func TestOnlyWhatTheServerLacksIsSent(t *testing.T) {
	t.Chdir(t.TempDir()) // and back, which the store does not
	store, err := objectstore.Open(objectstore.Options{Dir: t.TempDir(), MaxSize: 64 << 20, Life: time.Hour, Log: slog.New(slog.DiscardHandler),
		Continue: func(context.Context, string) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(store)
	defer store.Close()
	defer server.Close()
	c, err := store.Access(t.Context(), "org", "key")
	if err != nil {
		t.Fatal(err)
	}
	access := api.StorageAccess{AccessKey: c.AccessKey, Secret: c.Secret, SessionToken: c.SessionToken, StorageURL: server.URL, OrganizationID: "org", Bucket: objectstore.Bucket, Region: objectstore.Region}
	dir := tree(t, map[string]string{"src/a": "small", "src/run": "#!", "src/link": "->a", "empty/": "", "big": strings.Repeat("0123456789abcdef", 2*partSize/16+1)})
	if err := os.Chmod(filepath.Join(dir, "src/run"), 0o751); err != nil {
		t.Fatal(err)
	}
	all := archives(t, dir)
	var lines []string
	sent, err := Upload(t.Context(), access, nil, all, func(line string) { lines = append(lines, line) })
	if err != nil || sent < 2*partSize || len(lines) != 1 {
		t.Fatalf("sent %d, %v, %q", sent, err, lines)
	}
	back := t.TempDir()
	for _, a := range all {
		r, err := store.Context(t.Context(), "org", a.Hash)
		if err != nil {
			t.Fatal(err)
		}
		if err := objectstore.Extract(t.Context(), r, back, objectstore.Limits{Bytes: 1 << 30, Entries: 100}); err != nil {
			t.Error(err)
		}
		r.Close()
	}
	if n := missing(all, archives(t, back)); n != 0 {
		t.Errorf("%d parts are not what was packed", n)
	}
	first, err := os.Stat(filepath.Join(dir, "src/a"))
	if err != nil {
		t.Fatal(err)
	}
	if second, err := os.Stat(filepath.Join(back, "src/a")); err != nil || !second.ModTime().Equal(first.ModTime()) {
		t.Errorf("the time is not kept: %v, %v, %v", first, second, err)
	}
	if sent, err = Upload(t.Context(), access, nil, all, nil); err != nil || sent != 0 {
		t.Errorf("again: sent %d, %v", sent, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "src/a"), []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	changed := archives(t, dir)
	if sent, err = Upload(t.Context(), access, nil, changed, nil); err != nil || sent != 7 {
		t.Errorf("after a change: sent %d, %v", sent, err)
	}

	// What changes between the reading and the sending is not sent at all.
	late := archives(t, tree(t, map[string]string{"f": "then"}))
	if err := os.WriteFile(late[0].entries[0].path, []byte("now!"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Upload(t.Context(), access, nil, late, nil); !errors.Is(err, errChanged) {
		t.Errorf("a file that changed: %v", err)
	}
	if _, err := store.Context(t.Context(), "org", late[0].Hash); !errors.Is(err, objectstore.ErrNotFound) {
		t.Errorf("it is there: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Upload(ended, access, nil, late, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	access.OrganizationID = "other"
	if _, err := Upload(t.Context(), access, nil, changed, nil); err == nil || !strings.Contains(err.Error(), "Access Denied") {
		t.Errorf("below another's prefix: %v", err)
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
