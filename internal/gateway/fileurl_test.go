package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/fileurl"
)

// signed admits the URLs of sandbox id whose signature repeats their method and
// path, and remembers what it was asked.
type signed struct{ asked []fileurl.URL }

func (s *signed) Admit(_ context.Context, u fileurl.URL) error {
	s.asked = append(s.asked, u)
	if u.SandboxID == "id" && u.Signature == u.Method+u.Path {
		return nil
	}
	return fault.Unauthorized("This signed URL is not valid.")
}

func TestASignedURLOpensItsRouteAndNoOther(t *testing.T) {
	m := &machine{socket: filepath.Join(t.TempDir(), "s")}
	l, err := net.Listen("unix", m.socket)
	if err != nil {
		t.Fatal(err)
	}
	agent := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, r.Method, " ", r.RequestURI, " ", string(body), r.Header.Get("Authorization"))
	})}
	go func() { _ = agent.Serve(l) }()
	urls := &signed{}
	web := httptest.NewServer(http.StripPrefix("/toolbox", New(Config{Authorizer: m, FileURLs: urls, Dialer: m, Inspector: m, Touch: m.touch, Log: slog.New(slog.DiscardHandler)})))
	t.Cleanup(func() {
		web.Close()
		agent.Close()
	})
	for _, c := range []struct {
		method, path string
		key          string
		status       int
		want         string // the agent's answer, or the code
	}{
		{"GET", "/id/files/download?path=a%20b&expires=0&signature=GETa%20b", "", 200, "GET /files/download?path=a+b "},
		{"HEAD", "/id/files/download?path=f&expires=0&signature=GETf", "", 200, ""},
		{"POST", "/id/files/upload-v2?path=%2Ff&expires=0&signature=POST%2Ff", "", 200, "POST /files/upload-v2?path=%2Ff body"},
		{"GET", "/id/files/download?expires=0&signature=GET&other=1", "", 200, "GET /files/download?other=1 "},
		{"GET", "/id/files/download?path=f&expires=0&signature=GETf&DAYTONA_SANDBOX_AUTH_KEY=token", "", 200, "GET /files/download?path=f "},
		{"GET", "/id/files/download?path=f&expires=0&signature=GETf", "key", 200, "GET /files/download?path=f "},

		{"GET", "/id/files/download?path=f&expires=0&signature=GETg", "", 401, "UNAUTHORIZED"},
		{"GET", "/id/files/download?path=f&expires=0&signature=GETg", "key", 401, "UNAUTHORIZED"}, // no second way in
		{"GET", "/id/files/download?path=f&expires=0&signature=", "", 401, "UNAUTHORIZED"},
		{"GET", "/other/files/download?path=f&expires=0&signature=GETf", "", 401, "UNAUTHORIZED"},
		{"GET", "/id/files/download?path=f&path=g&expires=0&signature=GETf", "", 400, "BAD_REQUEST"},
		{"GET", "/id/files/download?path=f&expires=0&expires=1&signature=GETf", "", 400, "BAD_REQUEST"},
		{"GET", "/id/files/download?path=f&expires=0&signature=GETf&signature=x", "", 400, "BAD_REQUEST"},
		{"GET", "/id/files/download?path=f&expires=0&signature=GETf&path=%zz", "", 400, "BAD_REQUEST"},
		{"GET", "/id/files/download?path=f;path=g&expires=0&signature=GETf", "", 400, "BAD_REQUEST"},

		{"POST", "/id/files/download?path=f&expires=0&signature=POSTf", "", 401, "UNAUTHORIZED"},
		{"GET", "/id/files/upload-v2?path=f&expires=0&signature=GETf", "", 401, "UNAUTHORIZED"},
		{"POST", "/id/files/upload?path=f&expires=0&signature=POSTf", "", 401, "UNAUTHORIZED"},
		{"DELETE", "/id/files?path=f&expires=0&signature=GETf", "", 401, "UNAUTHORIZED"},
		{"GET", "/id/files/info?path=f&expires=0&signature=GETf", "", 401, "UNAUTHORIZED"},
		{"GET", "/id//files/download?path=f&expires=0&signature=GETf", "", 401, "UNAUTHORIZED"},
		{"GET", "/id/files%2Fdownload?path=f&expires=0&signature=GETf", "", 401, "UNAUTHORIZED"},
		{"GET", "/id/files/download/?path=f&expires=0&signature=GETf", "", 401, "UNAUTHORIZED"},
		{"GET", "/id/files/info?path=f&signature=x&expires=1", "key", 200, "GET /files/info?path=f&signature=x&expires=1 "},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, web.URL+"/toolbox"+c.path, nil)
		if c.method == "POST" {
			r.Body = io.NopCloser(strings.NewReader("body"))
		}
		if err != nil {
			t.Fatal(err)
		}
		if c.key != "" {
			r.Header.Set("Authorization", "Bearer "+c.key)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		got := string(text)
		if res.StatusCode != 200 {
			var e struct{ Code, Source string }
			if err := json.Unmarshal(text, &e); err != nil || e.Source != "DAYTONA_PROXY" {
				t.Errorf("%s %s: %s, %v", c.method, c.path, text, err)
			}
			got = e.Code
		}
		if res.StatusCode != c.status || got != c.want {
			t.Errorf("%s %s: %d %q, want %d %q", c.method, c.path, res.StatusCode, got, c.status, c.want)
		}
	}
	if u := urls.asked[0]; u != (fileurl.URL{SandboxID: "id", Method: "GET", Path: "a b", Expires: "0", Signature: "GETa b"}) {
		t.Errorf("asked for %+v", u)
	}
}
