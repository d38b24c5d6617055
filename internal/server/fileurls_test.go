package server

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/fileurl"
)

func TestSignedURLsOfFiles(t *testing.T) {
	engine := newMemoryEngine(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Connection", "close")
		fmt.Fprint(w, r.Method, " ", r.RequestURI, " ", string(body))
	}))
	config := testConfig(t, "--mirror", "docker.io="+testHub(t))
	s := &previewServer{testServer: start(t, config, testHost(engine))}
	s.call("POST", "/api/snapshots", `{"name":"snap","imageName":"library/small:1"}`, 200)
	s.eventually("the snapshot is active", func() bool { return s.call("GET", "/api/snapshots/snap", "", 200)["state"] == "active" })
	box, other := s.create("box"), s.create("other")
	key := read[string](t, s.ask(s.creds.APIKey, "GET", "/sandbox/"+box+"/signing-key", nil, 200))

	signed := func(key, sandbox, method, route, path string, expires int64) string {
		q := url.Values{"path": {path}, "expires": {strconv.FormatInt(expires, 10)}, "signature": {fileurl.Sign(key, method, path, expires)}}
		return s.origin() + "/toolbox/" + sandbox + route + "?" + q.Encode()
	}
	download := func(key, sandbox string) string { return signed(key, sandbox, "GET", "/files/download", "ü b", 0) }
	if status, text := s.get(download(key, box)); status != 200 || text != "GET /files/download?path=%C3%BC+b " {
		t.Errorf("%d %s", status, text)
	}
	res, err := s.client().Post(signed(key, box, "POST", "/files/upload-v2", "f", time.Now().Unix()+60), "text/plain", strings.NewReader("content"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if res.Body.Close(); res.StatusCode != 200 || err != nil || string(text) != "POST /files/upload-v2?path=f content" {
		t.Errorf("%d %s %v", res.StatusCode, text, err)
	}
	s.wants("an expired one", 401, signed(key, box, "GET", "/files/download", "f", time.Now().Unix()-2))
	s.wants("one of another sandbox", 401, download(key, other))
	s.wants("one of no path", 400, signed(key, box, "GET", "/files/download", "", 0))
	s.wants("one for another route", 401, signed(key, box, "GET", "/files/info", "f", 0))

	lacking := s.keyOf("lacking", without(api.UseToolbox)...)
	s.ask(lacking, "GET", "/sandbox/box/signing-key", nil, 403)
	s.ask(lacking, "POST", "/sandbox/box/signing-key/rotate", nil, 403)
	s.ask(s.stranger(), "GET", "/sandbox/"+box+"/signing-key", nil, 404)
	s.ask(s.creds.APIKey, "POST", "/sandbox/none/signing-key/rotate", nil, 404)
	s.wants("it, as nobody rotated its key", 200, download(key, box))

	next := read[string](t, s.ask(s.creds.APIKey, "POST", "/sandbox/box/signing-key/rotate", nil, 200))
	s.wants("it after the rotation", 401, download(key, box))
	s.wants("one of the new key", 200, download(next, box))

	s.call("POST", "/api/sandbox/box/stop", "", 200)
	s.wants("one of a stopped sandbox", 409, download(next, box))
	s.call("POST", "/api/sandbox/box/start", "", 200)
	s.wants("one of a sandbox that was stopped", 200, download(next, box))
	s.call("DELETE", "/api/sandbox/box", "", 200)
	s.eventually("it ends with its sandbox", func() bool {
		status, _ := s.get(download(next, box))
		return status == 401
	})
}
