package fs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

const secret = "only root may read this"

// guarded makes what the user may not touch: a closed directory, and a file that
// is closed itself. The user has links to both.
func guarded(t *testing.T, dir string) {
	t.Helper()
	put(t, dir+"/closed/secret", secret)
	put(t, dir+"/open/secret", secret)
	put(t, dir+"/mine/file", "mine")
	for _, path := range []string{"/closed", "/closed/secret", "/open", "/open/secret"} {
		if err := os.Chown(dir+path, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(dir+"/closed", 0o700), os.Chmod(dir+"/open/secret", 0o600),
		os.Symlink("../open/secret", dir+"/mine/to-file"), os.Symlink("../closed", dir+"/mine/to-dir")); err != nil {
		t.Fatal(err)
	}
	// In a directory of the user's it can be replaced, but is not the user's to write.
	put(t, dir+"/mine/of-root", secret)
	if err := errors.Join(os.Chown(dir+"/mine/of-root", 0, 0), os.Chmod(dir+"/mine/of-root", 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestWhatTheUserMayNotTouchIsRefused(t *testing.T) {
	h, dir := service(t)
	guarded(t, dir)
	for _, c := range []struct {
		method, path string
		query        url.Values
	}{
		{"GET", "/files/download", q("path", "open/secret")},
		{"GET", "/files/download", q("path", "mine/to-file")},
		{"GET", "/files/download", q("path", "closed/secret")},
		{"GET", "/files/download", q("path", "/proc/1/environ")},
		{"GET", "/files/download", q("path", "/proc/self/environ")},
		{"GET", "/files", q("path", "closed")},
		{"GET", "/files", q("path", "mine/to-dir")},
		{"GET", "/files/info", q("path", "mine/to-dir/secret")},
		{"GET", "/files/find", q("path", "closed/secret", "pattern", "root")},
		{"POST", "/files/upload-v2", q("path", "open/secret")},
		{"POST", "/files/upload-v2", q("path", "mine/to-file")},
		{"POST", "/files/upload-v2", q("path", "mine/of-root")},
		{"POST", "/files/upload-v2", q("path", "open/new")},
		{"POST", "/files/upload-v2", q("path", "mine/to-dir/new")},
		{"POST", "/files/folder", q("path", "open/new")},
		{"POST", "/files/move", q("source", "open/secret", "destination", "mine/secret")},
		{"POST", "/files/move", q("source", "mine/file", "destination", "open/file")},
		{"POST", "/files/permissions", q("path", "mine/to-file", "mode", "644")},
		{"POST", "/files/permissions", q("path", "mine/file", "owner", "root")},
		{"DELETE", "/files", q("path", "open/secret")},
	} {
		w := call(h, c.method, c.path, c.query, strings.NewReader("overwritten"), "")
		if e := decode[wire.Envelope](t, w); w.Code != 403 || e.Code != wire.FileAccessDenied {
			t.Errorf("%s %s %v: %d %s", c.method, c.path, c.query, w.Code, w.Body)
		}
	}
	for _, path := range []string{"/open/secret", "/closed/secret", "/mine/of-root"} {
		if text := content(t, dir+path); text != secret || owner(t, dir+path) != 0 {
			t.Errorf("%s is %q now, of %d", path, text, owner(t, dir+path))
		}
	}
	if w := call(h, "GET", "/files/find", q("path", ".", "pattern", "only root"), nil, ""); w.Code != 200 || len(decode[[]match](t, w)) != 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w := call(h, "POST", "/files/replace", nil, strings.NewReader(`{"files":["open/secret","mine/of-root"],"pattern":"root","newValue":""}`), "")
	for _, r := range decode[[]replaced](t, w) {
		if r.Success || !strings.Contains(r.Error, "permission denied") {
			t.Errorf("%+v", r)
		}
	}
	w = call(h, "POST", "/files/bulk-download", nil, strings.NewReader(`{"paths":["mine/to-file","closed/secret"]}`), "")
	if body := w.Body.String(); strings.Contains(body, secret) || strings.Count(body, string(wire.FileAccessDenied)) != 2 {
		t.Errorf("%s", body)
	}
	if left, _ := filepath.Glob(dir + "/*/.upload-*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestGroupsCountAndFilesAreWrittenWhereTheDirectoryIsNot(t *testing.T) {
	h, dir := service(t)
	put(t, dir+"/theirs/file", "old and longer")
	if err := errors.Join(os.Chown(dir+"/theirs", 0, 0), os.Chown(dir+"/theirs/file", 0, ownerID), os.Chmod(dir+"/theirs/file", 0o660)); err != nil {
		t.Fatal(err)
	}
	w := call(h, "POST", "/files/upload-v2", q("path", "theirs/file"), strings.NewReader("new"), "")
	info, err := os.Stat(dir + "/theirs/file")
	if w.Code != 200 || err != nil || info.Mode() != 0o660 || owner(t, dir+"/theirs/file") != 0 || content(t, dir+"/theirs/file") != "new" {
		t.Errorf("%d %s %v %v", w.Code, w.Body, info, err)
	}
	broken := io.MultiReader(strings.NewReader("other"), iotest.ErrReader(io.ErrUnexpectedEOF))
	if w := call(h, "POST", "/files/upload-v2", q("path", "theirs/file"), broken, ""); w.Code != 400 || content(t, dir+"/theirs/file") != "new" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Requests share threads with all else that the agent does.
func TestNoThreadKeepsTheUsersRights(t *testing.T) {
	h, dir := service(t)
	put(t, dir+"/file", "text")
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 50 {
				call(h, "GET", "/files/download", q("path", "file"), nil, "")
				call(h, "GET", "/files/info", q("path", "/root/none/none"), nil, "")
				call(h, "POST", "/files/upload-v2", q("path", "file"), strings.NewReader("text"), "")
			}
		})
	}
	all.Wait()
	threads, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(threads) < 2 {
		t.Fatal(threads, err)
	}
	seen := map[string]bool{}
	for _, status := range threads {
		b, err := os.ReadFile(status)
		if err != nil {
			continue // it has ended
		}
		for line := range strings.Lines(string(b)) {
			if name, _, _ := strings.Cut(line, ":"); slices.Contains([]string{"Uid", "Gid", "Groups", "CapEff"}, name) {
				seen[line] = true
			}
		}
	}
	if len(seen) != 4 {
		t.Errorf("threads differ: %v", seen)
	}
}

func TestAnUploadGoesThroughLinksThatLeadNowhereYet(t *testing.T) {
	h, dir := service(t)
	put(t, dir+"/real/sub/x", "")
	for link, target := range map[string]string{
		"plain": "target", "chain": "plain2", "plain2": "real/target2", "far": dir + "/made/deep/target3",
		"folder": "real/sub", "up": "folder/../target4", "loop": "loop2", "loop2": "loop",
	} {
		if err := os.Symlink(target, dir+"/"+link); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"plain": "target", "chain": "real/target2", "far": "made/deep/target3", "up": "real/target4"} {
		w := call(h, "POST", "/files/upload-v2", q("path", link), strings.NewReader(link), "")
		info, err := os.Lstat(dir + "/" + link)
		if w.Code != 200 || err != nil || info.Mode().Type() != os.ModeSymlink {
			t.Errorf("%s: %d %s %v %v", link, w.Code, w.Body, info, err)
			continue
		}
		if content(t, dir+"/"+target) != link || owner(t, dir+"/"+target) != ownerID {
			t.Errorf("%s: %q of %d", link, content(t, dir+"/"+target), owner(t, dir+"/"+target))
		}
	}
	if w := call(h, "POST", "/files/upload-v2", q("path", "loop"), strings.NewReader("x"), ""); w.Code != 400 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// served has the text of one inode.
type served struct{ text string }

func (s served) Text(fd int) (string, bool) {
	path, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	return s.text, filepath.Base(path) == "shown"
}

func TestFilesComeWholeWhateverStatSays(t *testing.T) {
	h, dir := service(t)
	put(t, dir+"/large", strings.Repeat("0123456789", 20_000))
	put(t, dir+"/empty", "")
	for _, path := range []string{
		"/sys/kernel/mm/transparent_hugepage/enabled", // a page, says stat
		"/proc/filesystems",                           // nothing
		"/proc/kallsyms",                              // nothing, and it is long
		dir + "/large", dir + "/empty",
	} {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		w := call(h, "GET", "/files/download", q("path", path), nil, "")
		if length := w.Header().Get("Content-Length"); w.Code != 200 || w.Body.Len() != len(want) || length != "" && length != fmt.Sprint(len(want)) {
			t.Errorf("%s: %d, %d bytes of %d, Content-Length %q", path, w.Code, w.Body.Len(), len(want), length)
		}
		w = call(h, "POST", "/files/bulk-download", nil, strings.NewReader(fmt.Sprintf(`{"paths":[%q]}`, path)), "")
		_, params, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		part, err := multipart.NewReader(w.Body, params["boundary"]).NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(part)
		if length := part.Header.Get("Content-Length"); err != nil || len(got) != len(want) || length != "" && length != fmt.Sprint(len(want)) {
			t.Errorf("%s in a form: %v, %d bytes of %d, Content-Length %q", path, err, len(got), len(want), length)
		}
	}
}

func TestWhatTheAgentServesIsNotAskedOfTheKernel(t *testing.T) {
	_, dir := service(t)
	put(t, dir+"/shown", "what the disk has")
	if err := os.Symlink("shown", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	l := launcherOf(t, dir)
	mux := http.NewServeMux()
	New(l, served{"what the agent says"}).Register(mux)
	for _, path := range []string{"shown", "link"} {
		if w := call(mux, "GET", "/files/download", q("path", path), nil, ""); w.Body.String() != "what the agent says" || w.Header().Get("Content-Length") != "19" {
			t.Errorf("%s: %q %v", path, w.Body, w.Header())
		}
		if e := decode[entry](t, call(mux, "GET", "/files/info", q("path", path), nil, "")); e.Size != 19 || e.Permissions != "0444" || e.Name != path {
			t.Errorf("%+v", e)
		}
		if w := call(mux, "POST", "/files/upload-v2", q("path", path), strings.NewReader("x"), ""); w.Code != 403 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if m := decode[[]match](t, call(mux, "GET", "/files/find", q("path", "shown", "pattern", "agent"), nil, "")); len(m) != 1 {
		t.Errorf("%v", m)
	}
	if w := call(mux, "DELETE", "/files", q("path", "shown"), nil, ""); w.Code != 403 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := call(mux, "DELETE", "/files", q("path", "link"), nil, ""); w.Code != 204 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if content(t, dir+"/shown") != "what the disk has" {
		t.Error("it was changed")
	}
}

func TestMoveReplacesNothing(t *testing.T) {
	h, dir := service(t)
	put(t, dir+"/a", "a")
	put(t, dir+"/b", "b")
	put(t, dir+"/dir/c", "c")
	for _, to := range []string{"a", "b", "dir"} {
		w := call(h, "POST", "/files/move", q("source", "a", "destination", to), nil, "")
		if e := decode[wire.Envelope](t, w); w.Code != 409 || e.Code != wire.Conflict {
			t.Errorf("to %s: %d %s", to, w.Code, w.Body)
		}
	}
	if err := rename(dir+"/a", dir+"/b"); !errors.Is(err, os.ErrExist) {
		t.Errorf("one that was made meanwhile: %v", err)
	}
	if content(t, dir+"/a") != "a" || content(t, dir+"/b") != "b" {
		t.Error("something was replaced")
	}
}

func TestPathsMayBeginAtHome(t *testing.T) {
	_, dir := service(t)
	etc := t.TempDir()
	put(t, etc+"/passwd", fmt.Sprintf("someone:x:%d:%d::%s/home:/bin/sh\n", ownerID, ownerID, dir))
	put(t, dir+"/home/file", "of home")
	put(t, dir+"/~", "of the working directory")
	mux := http.NewServeMux()
	New(launcherWith(t, dir, etc, "someone"), nil).Register(mux)
	for path, want := range map[string]string{"~/file": "of home", "~/../home/file": "of home", "./~": "of the working directory"} {
		if w := call(mux, "GET", "/files/download", q("path", path), nil, ""); w.Body.String() != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := call(mux, "POST", "/files/upload-v2", q("path", "~/new/f"), bytes.NewReader([]byte("x")), ""); w.Code != 200 || content(t, dir+"/home/new/f") != "x" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/files?"+q("path", "~").Encode(), nil))
	if list := decode[[]entry](t, w); len(list) != 2 {
		t.Errorf("%+v", list)
	}
}
