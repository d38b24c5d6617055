package httpapi

import (
	"fmt"
	"strings"
	"testing"
)

func TestASandboxSaysHowItsImageWasMade(t *testing.T) {
	s := newServer(t)
	s.snapshot("snap")
	id := fmt.Sprint(s.call("POST", "/api/sandbox", `{"snapshot":"snap","name":"box"}`, 200)["id"])
	want := s.url + "/api/sandbox/" + id + "/build-logs"
	if got := s.call("GET", "/api/sandbox/box/build-logs-url", "", 200)["url"]; got != want {
		t.Errorf("its log is at %v, not %s", got, want)
	}
	for _, path := range []string{"/api/sandbox/" + id + "/build-logs", "/api/sandbox/box/build-logs?follow=true"} {
		if status, text := s.raw(s.key, "GET", path, ""); status != 200 || !strings.Contains(string(text), "Pulled image debian:12.9") {
			t.Errorf("%s: %d %q", path, status, text)
		}
	}
	s.call("GET", "/api/sandbox/none/build-logs", "", 404)
	if status, _ := s.raw("", "GET", "/api/sandbox/box/build-logs", ""); status != 401 {
		t.Errorf("without a key: %d", status)
	}
	s.call("DELETE", "/api/snapshots/snap", "", 200)
	s.eventually("its snapshot is gone", func() bool {
		status, text := s.raw(s.key, "GET", "/api/sandbox/box/build-logs", "")
		return status == 404 && strings.Contains(string(text), "has been deleted")
	})
}
