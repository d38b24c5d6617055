package server

import (
	"net/http"
	"strings"
	"testing"
)

func TestPagesOfTrustedOriginsUseTheAPIAndTheToolboxes(t *testing.T) {
	const page = "https://app.example"
	agent := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "https://hostile.example")
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		_, _ = w.Write([]byte("{}"))
	})
	s := start(t, testConfig(t, "--cors-origin", page, "--mirror", "docker.io="+testHub(t)), testHost(newMemoryEngine(t, agent)))
	s.call("POST", "/api/snapshots", `{"name":"snap","imageName":"library/small:1"}`, 200)
	s.eventually("the snapshot is active", func() bool { return s.call("GET", "/api/snapshots/snap", "", 200)["state"] == "active" })
	s.call("POST", "/api/sandbox", `{"snapshot":"snap","name":"box"}`, 200)
	ask := func(method, path, origin string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.origin()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", origin)
		if method == "OPTIONS" {
			r.Header.Set("Access-Control-Request-Method", "GET")
			r.Header.Set("Access-Control-Request-Headers", "authorization")
		} else {
			r.Header.Set("Authorization", "Bearer "+s.creds.APIKey)
		}
		res, err := s.client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode, strings.Join(res.Header["Access-Control-Allow-Origin"], ",")
	}
	for path, trusted := range map[string]string{
		"/api/sandbox": page, "/api/config": page, "/api/volumes": page, "/toolbox/box/version": page,
		"/metrics": "", "/": "", "/v2/": "", "/daytona-contexts/": "",
	} {
		if _, got := ask("GET", path, page); got != trusted {
			t.Errorf("%s is readable to %q", path, got)
		}
		if status, got := ask("OPTIONS", path, page); got != trusted || trusted != "" && status != 204 {
			t.Errorf("before the request to %s: %d, %q", path, status, got)
		}
		if _, got := ask("GET", path, "https://hostile.example"); got != "" {
			t.Errorf("%s is readable to %q", path, got)
		}
	}
}
