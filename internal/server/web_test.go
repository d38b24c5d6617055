package server

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

func TestPathsLeadToTheirParts(t *testing.T) {
	s := start(t, testConfig(t), testHost(newMemoryEngine(t, http.HandlerFunc(echo))))
	for _, c := range []struct {
		path   string
		status int
		says   string
	}{
		{"/", 200, "/api/docs"},
		{"/nothing", 404, `"code":"NOT_FOUND"`},
		{"/api", 200, "openapi.json"},
		{"/api/none", 404, `"source":"DAYTONA_API"`},
		{"/apiary", 404, "below /api"},
		{"/api/health", 200, `"ok"`},
		{"/api/docs", 200, "openapi.json"},
		{"/api/openapi.json", 200, "createSandbox"},
		{"/api/snapshots//x", 404, `"code":`},
		{"/toolbox/none/version", 404, `"source":"DAYTONA_PROXY"`},
		{"/toolbox/", 400, "/toolbox/SANDBOX/ROUTE"},
		{"/metrics", 200, "daytona_build_info"},
	} {
		status, text := s.raw("GET", s.origin()+c.path, s.creds.APIKey, "")
		if status != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %.200s", c.path, status, text)
		}
	}
}

func TestEventsReachAListenerThroughTheWholeServer(t *testing.T) {
	s := start(t, testConfig(t, "--mirror", "docker.io="+testHub(t)), testHost(newMemoryEngine(t, http.HandlerFunc(echo))))
	c, _, err := websocket.Dial(t.Context(), strings.Replace(s.origin(), "http", "ws", 1)+"/api/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	read := func(prefix string) string {
		t.Helper()
		_, text, err := c.Read(t.Context())
		if err != nil || !strings.HasPrefix(string(text), prefix) {
			t.Fatalf("read %q, %v; want %s…", text, err, prefix)
		}
		return string(text)
	}
	read("0{") // Engine.IO is open
	if err := c.Write(t.Context(), websocket.MessageText, []byte(`40{"token":"`+s.creds.APIKey+`"}`)); err != nil {
		t.Fatal(err)
	}
	read("40{") // Socket.IO is connected
	s.eventually("the listener is counted", func() bool {
		_, text := s.raw("GET", s.origin()+"/metrics", "", "")
		return strings.Contains(text, "\ndaytona_event_connections 1\n")
	})
	s.call("POST", "/api/snapshots", `{"name":"snap","imageName":"library/small:1"}`, 200)
	for _, event := range []string{`42["snapshot.created"`, `42["snapshot.state.updated"`, `42["snapshot.state.updated"`} {
		if text := read(event); !strings.Contains(text, `"name":"snap"`) {
			t.Errorf("got %s", text)
		}
	}
	s.stop() // does not wait for the listener
	if _, _, err := c.Read(t.Context()); err == nil {
		t.Error("the listener still listens")
	}
}

// A page in a browser on this machine reaches the server by a name of its own
// that leads here, and would read the answers.
func TestMetricsAreNotToldToOtherNames(t *testing.T) {
	s := start(t, testConfig(t, "--public-url", "http://daytona.example.com"), testHost(newMemoryEngine(t, nil)))
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{
		"127.0.0.1:3986": 200, "127.0.0.1": 200, "[::1]:3986": 200, "[::1]": 200, "localhost:1": 200, "LOCALHOST.": 200, machine: 200, "daytona.example.com": 200,
		"evil.example": 403, "evil.example:3986": 403, "localhost.evil.example": 403, "notlocalhost": 403, "127.0.0.1.evil.example": 403,
	} {
		for key, want := range map[string]int{"": want, s.creds.APIKey: 200} {
			r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.http.Address().String()+"/metrics", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			if key != "" {
				r.Header.Set("Authorization", "Bearer "+key)
			}
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != want {
				t.Errorf("%s, with a key: %t: %d, want %d", host, key != "", res.StatusCode, want)
			}
		}
	}
}
