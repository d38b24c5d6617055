package fs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

func TestListDescribesWhereLinksLeadButGoesThroughNone(t *testing.T) {
	h, dir := service(t)
	put(t, dir+"/real/file", "12345")
	for link, target := range map[string]string{"to-dir": "real", "to-file": "real/file", "to-nothing": "none", "loop": "loop", "to-secret": "/root/none"} {
		if err := os.Symlink(target, dir+"/"+link); err != nil {
			t.Fatal(err)
		}
	}
	describe := func(depth string) (out []string) {
		for _, e := range decode[[]entry](t, call(h, "GET", "/files", q("path", ".", "depth", depth), nil, "")) {
			out = append(out, fmt.Sprintf("%s %.1s", e.Path, e.Mode))
		}
		return out
	}
	if got, want := describe("1"), []string{"loop L", "real d", "to-dir d", "to-file -", "to-nothing L", "to-secret L"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := describe("3"), []string{"loop L", "real d", "real/file -", "to-dir L", "to-file L", "to-nothing L", "to-secret L"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if e := decode[entry](t, call(h, "GET", "/files/info", q("path", "to-file"), nil, "")); e.Size != 5 || e.Path != "to-file" || e.Name != "to-file" {
		t.Errorf("%+v", e)
	}
	if e := decode[entry](t, call(h, "GET", "/files/info", q("path", "to-nothing"), nil, "")); e.Mode[:1] != "L" {
		t.Errorf("%+v", e)
	}
}

func TestPathsInAnswersAreInTheWayOfTheRequest(t *testing.T) {
	_, dir := service(t)
	etc := t.TempDir()
	put(t, etc+"/passwd", fmt.Sprintf("someone:x:%d:%d::%s/home:/bin/sh\n", ownerID, ownerID, dir))
	put(t, dir+"/home/sub/~odd", "text")
	put(t, dir+"/~odd", "text")
	mux := http.NewServeMux()
	New(launcherWith(t, dir, etc, "someone"), nil).Register(mux)
	for _, c := range []struct{ asked, want string }{
		{"home/sub", "home/sub/~odd"},
		{"./home//sub/", "home/sub/~odd"},
		{dir + "/home/sub", dir + "/home/sub/~odd"},
		{"~/sub", "~/sub/~odd"},
		{"~/../home/sub", "~/../home/sub/~odd"},
		{".", "./~odd"},
		{"/../" + dir + "/home/sub", dir + "/home/sub/~odd"},
	} {
		var got []string
		for _, e := range decode[[]entry](t, call(mux, "GET", "/files", q("path", c.asked), nil, "")) {
			if strings.HasSuffix(e.Path, "~odd") {
				got = append(got, e.Path)
			}
		}
		for _, m := range decode[[]match](t, call(mux, "GET", "/files/find", q("path", c.asked, "pattern", "text"), nil, "")) {
			if c.asked != "." || !strings.Contains(m.File, "home") {
				got = append(got, m.File)
			}
		}
		for _, f := range decode[struct{ Files []string }](t, call(mux, "GET", "/files/search", q("path", c.asked, "pattern", "~*"), nil, "")).Files {
			if c.asked != "." || !strings.Contains(f, "home") {
				got = append(got, f)
			}
		}
		if want := []string{c.want, c.want, c.want}; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", c.asked, got, want)
		}
		if w := call(mux, "GET", "/files/download", q("path", c.want), nil, ""); w.Body.String() != "text" {
			t.Errorf("%s does not lead there: %d %s", c.want, w.Code, w.Body)
		}
	}
}

func TestAWalkBeginsAtALinkButFollowsNone(t *testing.T) {
	h, dir := service(t)
	put(t, dir+"/real/file", "needle")
	for link, target := range map[string]string{"start": "real", "real/self": ".", "real/other": "file", "to-file": "real/file"} {
		if err := os.Symlink(target, dir+"/"+link); err != nil {
			t.Fatal(err)
		}
	}
	for root, want := range map[string]string{"start": "start/file", "real": "real/file", "to-file": "to-file"} {
		m := decode[[]match](t, call(h, "GET", "/files/find", q("path", root, "pattern", "needle"), nil, ""))
		if len(m) != 1 || m[0].File != want {
			t.Errorf("%s: %+v", root, m)
		}
	}
	files := decode[struct{ Files []string }](t, call(h, "GET", "/files/search", q("path", "start", "pattern", "*"), nil, "")).Files
	if want := []string{"start/file", "start/other", "start/self"}; !slices.Equal(files, want) {
		t.Errorf("%q", files)
	}
}

// Go SDKs before 0.188 refuse answers with fields that they do not know.
func TestOldGoSDKsAreToldNoPath(t *testing.T) {
	h, dir := service(t)
	put(t, dir+"/f", "")
	for _, c := range []struct {
		source, version string
		want            bool
	}{{"sdk-go", "0.187.2", false}, {"sdk-go", "0.188.0", true}, {"sdk-go", "0.0.0-dev", true}, {"sdk-go", "1.2.0", true}, {"sdk-python", "0.100.0", true}, {"", "", true}} {
		for _, route := range []string{"/files?path=.", "/files/info?path=f"} {
			r := httptest.NewRequest("GET", route, nil)
			r.Header.Set("X-Daytona-Source", c.source)
			r.Header.Set("X-Daytona-SDK-Version", c.version)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if got := strings.Contains(w.Body.String(), `"path":`); w.Code != 200 || got != c.want {
				t.Errorf("%s for %s %s: %s", route, c.source, c.version, w.Body)
			}
		}
	}
}

func TestBulkUploadTellsOfEachFile(t *testing.T) {
	h, _ := service(t)
	send := func(files ...[2]string) (int, map[string]any) {
		var form bytes.Buffer
		m := multipart.NewWriter(&form)
		for i, f := range files {
			_ = m.WriteField(fmt.Sprintf("files[%d].path", i), f[0])
		}
		for i, f := range files {
			part, _ := m.CreateFormFile(fmt.Sprintf("files[%d].file", i), "x")
			fmt.Fprint(part, f[1])
		}
		m.Close()
		w := call(h, "POST", "/files/bulk-upload", nil, &form, m.FormDataContentType())
		return w.Code, decode[map[string]any](t, w)
	}
	status, answer := send([2]string{"a", "12345"}, [2]string{"d/b ü", ""})
	files, _ := json.Marshal(answer["files"])
	if want := `[{"bytes":5,"path":"a"},{"bytes":0,"path":"d/b ü"}]`; status != 200 || string(files) != want || answer["errors"] != nil {
		t.Errorf("%d %v", status, answer)
	}
	status, answer = send([2]string{"/proc/no", "x"}, [2]string{"c", "123"}, [2]string{"d", "x"})
	files, _ = json.Marshal(answer["files"])
	failed, _ := answer["errors"].([]any)
	if status != 400 || string(files) != `[{"bytes":3,"path":"c"}]` || len(failed) != 2 || answer["source"] != wire.Source || answer["message"] == "" {
		t.Errorf("%d %v", status, answer)
	}
	status, answer = send([2]string{"/proc/no", "x"})
	if files, _ := json.Marshal(answer["files"]); status != 400 || string(files) != "[]" {
		t.Errorf("%d %v", status, answer)
	}
}

func TestBulkDownloadTellsOfEachFailure(t *testing.T) {
	h, dir := service(t)
	guarded(t, dir)
	if err := os.Symlink("loop", dir+"/loop"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(dir+"/fifo", 0o666); err != nil {
		t.Fatal(err)
	}
	want := []struct {
		path   string
		status int
		code   wire.Code
	}{
		{"none", 404, wire.FileNotFound}, {"mine/to-file", 403, wire.FileAccessDenied}, {"", 400, wire.InvalidFilePath}, {"mine", 400, wire.InvalidFilePath},
		{"loop", 400, wire.InvalidFilePath}, {"fifo", 400, wire.InvalidFilePath}, {"mine/file/x", 400, wire.InvalidFilePath}, {"a\x00b", 400, wire.InvalidFilePath},
	}
	var paths []string
	for _, c := range want {
		paths = append(paths, c.path)
	}
	body, _ := json.Marshal(map[string]any{"paths": paths})
	w := call(h, "POST", "/files/bulk-download", nil, bytes.NewReader(body), "")
	_, params, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	form := multipart.NewReader(w.Body, params["boundary"])
	for _, c := range want {
		part, err := form.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		var e wire.Envelope
		if err := json.NewDecoder(part).Decode(&e); err != nil || part.FormName() != "error" || e.StatusCode != c.status || e.Code != c.code || e.Path != c.path || e.Message == "" {
			t.Errorf("%q: %+v, %v", c.path, e, err)
		}
		if kind := part.Header.Get("Content-Type"); kind != "application/json" {
			t.Errorf("%q: %s", c.path, kind)
		}
	}
}

// A client that has not sent everything would hear of a broken connection, not
// of the error.
func TestAnErrorWaitsForTheEndOfTheUpload(t *testing.T) {
	h, _ := service(t)
	server := httptest.NewServer(h)
	defer server.Close()
	for _, route := range []string{"/files/upload-v2", "/files/upload?path=.", "/files/bulk-upload"} {
		res, err := http.Post(server.URL+route, "application/octet-stream", io.LimitReader(neverEnding('x'), 16<<20))
		if err != nil {
			t.Errorf("%s: %v", route, err)
			continue
		}
		res.Body.Close()
		if res.StatusCode != 400 {
			t.Errorf("%s: %d", route, res.StatusCode)
		}
	}
}

type neverEnding byte

func (b neverEnding) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}
