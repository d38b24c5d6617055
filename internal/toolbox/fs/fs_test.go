package fs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/opendaytona/daytona/internal/toolbox/boot"
	"github.com/opendaytona/daytona/internal/toolbox/identity"
	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// owner is neither this test's user nor the owner of what it makes by itself.
const ownerID = 4242

// service works in a new directory, for a user without an entry.
func service(t *testing.T) (http.Handler, string) {
	t.Helper()
	return serviceOf(t, fmt.Sprint(ownerID, ":", ownerID))
}

func serviceOf(t *testing.T, user string) (http.Handler, string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("these tests change owners and must run as root")
	}
	dir := t.TempDir()
	give(t, dir)
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	l := launcherWith(t, dir, "/etc", user)
	mux := http.NewServeMux()
	New(l, nil).Register(mux)
	return mux, dir
}

func launcherOf(t *testing.T, dir string) *launch.Launcher {
	t.Helper()
	return launcherWith(t, dir, "/etc", fmt.Sprint(ownerID, ":", ownerID))
}

func launcherWith(t *testing.T, dir, etc, user string) *launch.Launcher {
	t.Helper()
	return launch.New(boot.Config{User: user, WorkDir: dir}, nil, identity.New(etc), nil)
}

// give makes the user the owner.
func give(t *testing.T, path string) {
	t.Helper()
	if err := os.Lchown(path, ownerID, ownerID); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	var made []string
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); err == nil {
			break
		}
		made = append(made, dir)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range made {
		give(t, dir)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	give(t, path)
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func owner(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

func call(h http.Handler, method, path string, query url.Values, body io.Reader, contentType string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path+"?"+query.Encode(), body)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return serve(h, r)
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func q(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

func decode[T any](t *testing.T, w *httptest.ResponseRecorder) (v T) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v in %q", err, w.Body)
	}
	return v
}

func TestErrors(t *testing.T) {
	h, dir := service(t)
	put(t, dir+"/file", "x")
	put(t, dir+"/full/file", "x")
	if err := syscall.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	give(t, dir+"/fifo")
	long := strings.Repeat("n", 300)
	for _, c := range []struct {
		method, path string
		query        url.Values
		status       int
		code         wire.Code
	}{
		{"GET", "/files", q("path", "none"), 404, wire.FileNotFound},
		{"GET", "/files", q("path", "file"), 400, wire.BadRequest},
		{"GET", "/files", q("path", ".", "depth", "0"), 400, wire.BadRequest},
		{"GET", "/files", q("path", ".", "depth", "x"), 400, wire.BadRequest},
		{"GET", "/files", q("path", "a\x00b"), 400, wire.BadRequest},
		{"GET", "/files/info", q(), 400, wire.BadRequest},
		{"GET", "/files/info", q("path", "none"), 404, wire.FileNotFound},
		{"GET", "/files/info", q("path", "file/below"), 400, wire.BadRequest},
		{"GET", "/files/info", q("path", long), 400, wire.BadRequest},
		{"DELETE", "/files", q("path", "none"), 404, wire.FileNotFound},
		{"DELETE", "/files", q("path", "full"), 400, wire.BadRequest},
		{"DELETE", "/files", q("path", "/", "recursive", "true"), 400, wire.BadRequest},
		{"DELETE", "/files", q("path", "../../../../../../../..", "recursive", "true"), 400, wire.BadRequest},
		{"DELETE", "/files", q("path", "full", "recursive", "maybe"), 400, wire.BadRequest},
		{"POST", "/files/folder", q("path", "d", "mode", "999"), 400, wire.BadRequest},
		{"POST", "/files/folder", q("path", "file", "mode", "755"), 400, wire.BadRequest},
		{"POST", "/files/folder", q("path", "file/d", "mode", "755"), 400, wire.BadRequest},
		{"POST", "/files/move", q("source", "none", "destination", "x"), 404, wire.FileNotFound},
		{"POST", "/files/move", q("source", "file", "destination", "full"), 409, wire.Conflict},
		{"POST", "/files/move", q("source", "file", "destination", "none/x"), 404, wire.FileNotFound},
		{"POST", "/files/move", q("source", "file"), 400, wire.BadRequest},
		{"POST", "/files/move", q("source", "full", "destination", "full/in"), 400, wire.BadRequest},
		{"POST", "/files/permissions", q("path", "none", "mode", "644"), 404, wire.FileNotFound},
		{"POST", "/files/permissions", q("path", "file", "mode", "rw"), 400, wire.BadRequest},
		{"POST", "/files/permissions", q("path", "file", "owner", "no such"), 400, wire.BadRequest},
		{"GET", "/files/find", q("path", ".", "pattern", ""), 400, wire.BadRequest},
		{"GET", "/files/find", q("path", "none", "pattern", "x"), 404, wire.FileNotFound},
		{"GET", "/files/search", q("path", ".", "pattern", "["), 400, wire.BadRequest},
		{"GET", "/files/download", q("path", "none"), 404, wire.FileNotFound},
		{"GET", "/files/download", q("path", "full"), 400, wire.InvalidFilePath},
		{"GET", "/files/download", q("path", "fifo"), 400, wire.InvalidFilePath},
		{"GET", "/files/download", q("path", "/dev/zero"), 400, wire.InvalidFilePath},
		{"POST", "/files/upload-v2", q("path", "full"), 400, wire.BadRequest},
		{"POST", "/files/upload-v2", q("path", "fifo"), 400, wire.BadRequest},
		{"POST", "/files/replace", q(), 400, wire.InvalidRequestBody},
		{"POST", "/files/bulk-download", q(), 400, wire.InvalidRequestBody},
		{"POST", "/files/bulk-upload", q(), 400, wire.BadRequest},
	} {
		w := call(h, c.method, c.path, c.query, strings.NewReader(""), "")
		e := decode[wire.Envelope](t, w)
		if w.Code != c.status || e.Code != c.code || e.Message == "" || e.Path != c.path {
			t.Errorf("%s %s %v: %d %s %q, want %d %s", c.method, c.path, c.query, w.Code, e.Code, e.Message, c.status, c.code)
		}
	}
}

func TestFolderBelongsToTheUserAndHasTheMode(t *testing.T) {
	h, dir := service(t)
	for _, m := range []string{"700", "0755", "1777", "2750"} {
		if w := call(h, "POST", "/files/folder", q("path", "new/"+m, "mode", m), nil, ""); w.Code != 201 {
			t.Fatalf("%s: %d %s", m, w.Code, w.Body)
		}
		e := decode[entry](t, call(h, "GET", "/files/info", q("path", "new/"+m), nil, ""))
		if strings.TrimLeft(e.Permissions, "0") != strings.TrimLeft(m, "0") || !e.IsDir || e.Owner != "4242" {
			t.Errorf("%s: %+v", m, e)
		}
	}
	if id := owner(t, dir+"/new"); id != ownerID {
		t.Errorf("the parent belongs to %d", id)
	}
}

func TestListGoesAsDeepAsAsked(t *testing.T) {
	h, dir := service(t)
	put(t, dir+"/a/b/c/file", "12345")
	put(t, dir+"/z", "")
	if err := os.Symlink("nowhere", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for depth, want := range map[string][]string{
		"": {"a", "link", "z"}, "1": {"a", "link", "z"}, "2": {"a", "a/b", "link", "z"},
		"99": {"a", "a/b", "a/b/c", "a/b/c/file", "link", "z"},
	} {
		var got []string
		for _, e := range decode[[]entry](t, call(h, "GET", "/files", q("path", dir, "depth", depth), nil, "")) {
			rel, _ := filepath.Rel(dir, e.Path)
			got = append(got, rel)
			if filepath.Base(rel) != e.Name || e.ModifiedAt == "" || e.ModTime == "" {
				t.Errorf("%+v", e)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("depth %q: %v, want %v", depth, got, want)
		}
	}
	if w := call(h, "GET", "/files", q("path", "a/b/c/file/.."), nil, ""); w.Code != 200 {
		t.Errorf("a path with .. : %d", w.Code)
	}
	if err := os.Mkdir(dir+"/empty", 0o755); err != nil {
		t.Fatal(err)
	}
	if w := call(h, "GET", "/files", q("path", "empty"), nil, ""); strings.TrimSpace(w.Body.String()) != "[]" {
		t.Errorf("an empty directory: %s", w.Body)
	}
}

func TestMoveKeepsAFileAcrossFileSystems(t *testing.T) {
	h, dir := serviceOf(t, "root")
	shm, err := os.MkdirTemp("/dev/shm", "move-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(shm)
	put(t, dir+"/tree/sub/file", "text")
	if err := errors.Join(os.Chmod(dir+"/tree/sub/file", 0o4751), os.Lchown(dir+"/tree/sub", 7, 8),
		os.Symlink("sub/file", dir+"/tree/link"), syscall.Mkfifo(dir+"/tree/fifo", 0o640)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir+"/tree/sub/file", 0o751|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	before, _ := os.Stat(dir + "/tree/sub/file")
	if w := call(h, "POST", "/files/move", q("source", "tree", "destination", shm+"/tree"), nil, ""); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	after, err := os.Stat(shm + "/tree/sub/file")
	if err != nil || after.Mode() != before.Mode() || !after.ModTime().Equal(before.ModTime()) || content(t, shm+"/tree/link") != "text" {
		t.Errorf("%v %v, error %v", before, after, err)
	}
	if id := owner(t, shm+"/tree/sub"); id != 7 {
		t.Errorf("owner %d", id)
	}
	if info, err := os.Lstat(shm + "/tree/fifo"); err != nil || info.Mode() != os.ModeNamedPipe|0o640 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := os.Lstat(dir + "/tree"); !os.IsNotExist(err) {
		t.Errorf("the source is still there: %v", err)
	}
}

func TestPermissions(t *testing.T) {
	h, dir := serviceOf(t, "root")
	put(t, dir+"/f", "")
	w := call(h, "POST", "/files/permissions", q("path", "f", "mode", "4711", "owner", "nobody", "group", "12"), nil, "")
	info, err := os.Stat(dir + "/f")
	if w.Code != 200 || err != nil || info.Mode() != 0o711|os.ModeSetuid || info.Sys().(*syscall.Stat_t).Gid != 12 || owner(t, dir+"/f") != 65534 {
		t.Errorf("%d %v %v", w.Code, info, err)
	}
	if call(h, "POST", "/files/permissions", q("path", "f", "mode", "600"), nil, ""); owner(t, dir+"/f") != 65534 {
		t.Error("the owner changed")
	}
}

func TestDownloadOfRangesAndOfFilesWithoutASize(t *testing.T) {
	h, dir := service(t)
	put(t, dir+"/f ü", "0123456789")
	r := httptest.NewRequest("GET", "/files/download?"+q("path", "f ü").Encode(), nil)
	r.Header.Set("Range", "bytes=2-4")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	_, params, err := mime.ParseMediaType(w.Header().Get("Content-Disposition"))
	if w.Code != 206 || w.Body.String() != "234" || err != nil || params["filename"] != "f ü" {
		t.Errorf("%d %q %v", w.Code, w.Body, w.Header())
	}
	if w := call(h, "GET", "/files/download", q("path", "/proc/self/comm"), nil, ""); !strings.HasSuffix(w.Body.String(), "\n") {
		t.Errorf("%q", w.Body)
	}
}

func TestBulkDownloadHasAPartForEachPath(t *testing.T) {
	h, dir := service(t)
	names := []string{"plain", "sub/ü \"quoted\" \\ back", "missing", "sub", "empty", "new\nline"}
	for _, n := range []string{names[0], names[1], names[5]} {
		put(t, filepath.Join(dir, n), "of "+n)
	}
	put(t, dir+"/empty", "")
	body, _ := json.Marshal(map[string]any{"paths": names})
	w := call(h, "POST", "/files/bulk-download", nil, bytes.NewReader(body), "application/json")
	_, params, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	form := multipart.NewReader(w.Body, params["boundary"])
	for _, name := range names {
		part, err := form.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		_, disposition, err := mime.ParseMediaType(strings.ReplaceAll(part.Header.Get("Content-Disposition"), "filename=", "plain="))
		if disposition["filename"] == "" {
			disposition["filename"] = disposition["plain"]
		}
		got, rerr := io.ReadAll(part)
		if err != nil || rerr != nil || disposition["filename"] != name {
			t.Errorf("%q: %v %v %v", name, disposition, err, rerr)
		}
		switch name {
		case "missing", "sub":
			var e wire.Envelope
			if err := json.Unmarshal(got, &e); err != nil || part.FormName() != "error" || e.StatusCode < 400 || e.Source != wire.Source {
				t.Errorf("%q: %s", name, got)
			}
		case "empty":
			if part.FormName() != "file" || len(got) != 0 {
				t.Errorf("%q: %s", name, got)
			}
		default:
			if part.FormName() != "file" || string(got) != "of "+name || part.Header.Get("Content-Length") != fmt.Sprint(len(got)) {
				t.Errorf("%q: %q %v", name, got, part.Header)
			}
		}
	}
	if _, err := form.NextRawPart(); err != io.EOF {
		t.Errorf("more parts, or %v", err)
	}
}

func TestUploadMakesParentsAndKeepsWhatAFileHad(t *testing.T) {
	h, dir := service(t)
	w := call(h, "POST", "/files/upload-v2", q("path", "new/dir/f"), strings.NewReader("body"), "application/octet-stream")
	if u := decode[uploaded](t, w); w.Code != 200 || u != (uploaded{Name: "f", Path: "new/dir/f", Type: "file"}) {
		t.Errorf("%d %+v", w.Code, u)
	}
	for _, p := range []string{"/new", "/new/dir", "/new/dir/f"} {
		if id := owner(t, dir+p); id != ownerID {
			t.Errorf("%s belongs to %d", p, id)
		}
	}

	put(t, dir+"/old", "long old content")
	if err := errors.Join(os.Chmod(dir+"/old", 0o726), os.Chown(dir+"/old", 9, 10), os.Symlink("old", dir+"/link"), os.Link(dir+"/old", dir+"/hard")); err != nil {
		t.Fatal(err)
	}
	var form bytes.Buffer
	m := multipart.NewWriter(&form)
	part, _ := m.CreateFormFile("file", "x")
	_, _ = part.Write([]byte("short"))
	m.Close()
	w = call(h, "POST", "/files/upload", q("path", "link"), &form, m.FormDataContentType())
	info, _ := os.Stat(dir + "/old")
	if w.Code != 200 || content(t, dir+"/old") != "short" || content(t, dir+"/hard") != "short" || info.Mode() != 0o726 || owner(t, dir+"/old") != 9 {
		t.Errorf("%d %s %v", w.Code, w.Body, info)
	}
	if info, _ := os.Lstat(dir + "/link"); info.Mode().Type() != os.ModeSymlink {
		t.Error("the link was replaced")
	}
}

func TestABrokenUploadLeavesTheOldFileAndNothingElse(t *testing.T) {
	h, dir := service(t)
	put(t, dir+"/f", "old")
	broken := io.MultiReader(strings.NewReader("new"), iotest.ErrReader(io.ErrUnexpectedEOF))
	w := call(h, "POST", "/files/upload-v2", q("path", "f"), broken, "")
	left, _ := os.ReadDir(dir)
	if w.Code != 400 || content(t, dir+"/f") != "old" || len(left) != 1 {
		t.Errorf("%d %s, left %v", w.Code, w.Body, left)
	}
}

func TestBulkUploadWritesPairs(t *testing.T) {
	h, dir := service(t)
	var form bytes.Buffer
	m := multipart.NewWriter(&form)
	for i, p := range []string{"a", "deep/b ü", dir + "/c"} {
		_ = m.WriteField(fmt.Sprintf("files[%d].path", i), p)
	}
	_ = m.WriteField("unknown", "field")
	for i := range 3 {
		part, _ := m.CreateFormFile(fmt.Sprintf("files[%d].file", i), "ignored")
		fmt.Fprint(part, "content ", i)
	}
	part, _ := m.CreateFormFile("files[3].file", "by/name")
	fmt.Fprint(part, "content 3")
	m.Close()
	if w := call(h, "POST", "/files/bulk-upload", nil, &form, m.FormDataContentType()); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for i, p := range []string{"a", "deep/b ü", "c", "by/name"} {
		if got := content(t, filepath.Join(dir, p)); got != fmt.Sprint("content ", i) || owner(t, filepath.Join(dir, p)) != ownerID {
			t.Errorf("%s: %q", p, got)
		}
	}
}

func TestBulkUploadTellsOfEachFileThatFailed(t *testing.T) {
	h, dir := service(t)
	var form bytes.Buffer
	m := multipart.NewWriter(&form)
	for i, p := range []string{"good", "/proc/no/such", "bad\x00path"} {
		_ = m.WriteField(fmt.Sprintf("files[%d].path", i), p)
		part, _ := m.CreateFormFile(fmt.Sprintf("files[%d].file", i), "x")
		fmt.Fprint(part, "content")
	}
	m.Close()
	w := call(h, "POST", "/files/bulk-upload", nil, &form, m.FormDataContentType())
	e := decode[wire.Envelope](t, w)
	if w.Code != 400 || len(e.Errors) != 2 || !strings.Contains(e.Errors[0], "/proc/no") || !strings.Contains(e.Errors[1], "NUL") {
		t.Errorf("%d %+v", w.Code, e)
	}
	if content(t, dir+"/good") != "content" {
		t.Error("the good one is missing")
	}
}

func TestFindAndSearch(t *testing.T) {
	h, dir := service(t)
	put(t, dir+"/a.go", "one\nTODO: two\r\nthree TODO:")
	put(t, dir+"/sub/b.txt", strings.Repeat("x", 100_000)+"TODO:"+"\nnext")
	put(t, dir+"/bin", "\x00TODO:")
	put(t, dir+"/latin", "TODO:\xe9")
	if err := syscall.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range decode[[]match](t, call(h, "GET", "/files/find", q("path", ".", "pattern", "TODO:"), nil, "")) {
		got = append(got, fmt.Sprintf("%s:%d:%.20s", strings.TrimPrefix(m.File, dir+"/"), m.Line, m.Content))
	}
	if want := []string{"a.go:2:TODO: two", "a.go:3:three TODO:", "latin:1:TODO:\ufffd", "sub/b.txt:1:xxxxxxxxxxxxxxxxxxxx"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	one := decode[[]match](t, call(h, "GET", "/files/find", q("path", "a.go", "pattern", "one"), nil, ""))
	if len(one) != 1 || one[0].Line != 1 {
		t.Errorf("%+v", one)
	}
	for pattern, want := range map[string][]string{
		"*.go": {"a.go"}, "b.txt": {"sub/b.txt"}, "s?b": {"sub"}, "sub/*.txt": {"sub/b.txt"}, "none*": {},
	} {
		files := decode[struct{ Files []string }](t, call(h, "GET", "/files/search", q("path", dir, "pattern", pattern), nil, "")).Files
		for i := range files {
			files[i] = strings.TrimPrefix(files[i], dir+"/")
		}
		if files == nil || !slices.Equal(files, want) {
			t.Errorf("%s: %v, want %v", pattern, files, want)
		}
	}
}

func TestReplace(t *testing.T) {
	h, dir := service(t)
	put(t, dir+"/a", "x foo foo")
	if err := errors.Join(os.Chmod(dir+"/a", 0o666), os.Chown(dir+"/a", 5, 5)); err != nil {
		t.Fatal(err)
	}
	body := `{"files":["a","none"],"pattern":"foo","newValue":""}`
	results := decode[[]replaced](t, call(h, "POST", "/files/replace", nil, strings.NewReader(body), ""))
	if len(results) != 2 || !results[0].Success || results[1].Success || results[1].Error == "" || content(t, dir+"/a") != "x  " || owner(t, dir+"/a") != 5 {
		t.Errorf("%+v %q", results, content(t, dir+"/a"))
	}
}

func TestSubstituteIsReplaceAll(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		text := make([]byte, random.IntN(200_000))
		for i := range text {
			text[i] = "ab"[random.IntN(2)]
		}
		pattern := []byte("abbabaaabbabab")[:1+random.IntN(14)]
		var got bytes.Buffer
		if err := substitute(&got, iotest.HalfReader(bytes.NewReader(text)), pattern, []byte("<>")); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), bytes.ReplaceAll(text, pattern, []byte("<>"))) {
			t.Fatalf("%d bytes with %s differ", len(text), pattern)
		}
		found, err := contains(iotest.HalfReader(bytes.NewReader(text)), pattern)
		if err != nil || found != bytes.Contains(text, pattern) {
			t.Fatalf("contains is %v, error %v", found, err)
		}
	}
}
