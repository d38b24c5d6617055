package server

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func TestMetricsTellWhatHappened(t *testing.T) {
	s := start(t, testConfig(t, "--mirror", "docker.io="+testHub(t)), testHost(newMemoryEngine(t, http.HandlerFunc(echo))))
	s.call("POST", "/api/snapshots", `{"name":"snap","imageName":"library/small:1"}`, 200)
	s.eventually("the snapshot is active", func() bool { return s.call("GET", "/api/snapshots/snap", "", 200)["state"] == "active" })
	s.call("POST", "/api/sandbox", `{"snapshot":"snap","name":"box"}`, 200)
	s.call("GET", "/api/sandbox/none", "", 404)
	s.call("GET", "/api/nothing", "", 404)
	s.call("GET", "/nothing", "", 404)
	if status, _ := s.raw("GET", s.origin()+"/api/sandbox/box", "wrong", ""); status != 401 {
		t.Errorf("a wrong key: %d", status)
	}
	s.raw("GET", s.origin()+"/toolbox/box/version", s.creds.APIKey, "")
	for status := 1000; status < 1100; status++ { // as a sandbox may answer
		s.metrics.Requested("toolbox", status, 0)
	}
	s.metrics.OutOfMemory("box", 2)
	var text string
	s.eventually("the toolbox request is counted", func() bool { // after its answer
		_, text = s.raw("GET", s.origin()+"/metrics", "", "")
		return strings.Contains(text, `operation="toolbox",status="200"`)
	})
	for _, line := range []string{
		`daytona_http_request_duration_seconds_count{operation="createSandbox",status="200"} 1`,
		`daytona_http_request_duration_seconds_count{operation="getSandbox",status="404"} 1`,
		`daytona_http_request_duration_seconds_count{operation="getSandbox",status="401"} 1`,
		`daytona_http_request_duration_seconds_count{operation="toolbox",status="200"} 1`,
		`daytona_http_request_duration_seconds_count{operation="toolbox",status="other"} 100`,
		`daytona_http_request_duration_seconds_count{operation="unknown",status="404"} 2`,
		`daytona_sandboxes{state="started"} 1`,
		`daytona_snapshots{state="active"} 1`,
		`daytona_snapshots{state="error"} 0`,
		`daytona_sandbox_create_duration_seconds_count{outcome="started"} 1`,
		`daytona_snapshot_pull_duration_seconds_count{outcome="active"} 1`,
		`daytona_event_connections 0`,
		`daytona_sandbox_oom_kills_total 2`,
		`daytona_build_info{version="test"} 1`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if !regexp.MustCompile(`(?m)^` + name + ` [1-9]`).MatchString(text) {
			t.Errorf("the metrics lack %s", name)
		}
	}
}

func TestMetricsAreForThisMachineAndAdministrators(t *testing.T) {
	s := start(t, testConfig(t), testHost(newMemoryEngine(t, http.HandlerFunc(echo))))
	for name, c := range map[string]struct {
		from, passedOn, key string
		want                int
	}{
		"this machine":              {"127.0.0.1:1", "", "", 200},
		"this machine, IPv6":        {"[::1]:1", "", "", 200},
		"another":                   {"192.0.2.1:1", "", "", 403},
		"another by a proxy here":   {"127.0.0.1:1", "192.0.2.1", "", 403},
		"an administrator's key":    {"192.0.2.1:1", "", s.creds.APIKey, 200},
		"no key":                    {"192.0.2.1:1", "", "wrong", 403},
		"no address, as of a pipe":  {"", "", "", 403},
		"an administrator by proxy": {"127.0.0.1:1", "192.0.2.1", s.creds.APIKey, 200},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil)
		r.Host, r.RemoteAddr = "127.0.0.1:3986", c.from
		if c.passedOn != "" {
			r.Header.Set("X-Forwarded-For", c.passedOn)
		}
		if c.key != "" {
			r.Header.Set("Authorization", "Bearer "+c.key)
		}
		w := httptest.NewRecorder()
		s.gate.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s: %d, want %d", name, w.Code, c.want)
		}
	}
}
