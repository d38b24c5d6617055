package httpapi

import (
	"github.com/opendaytona/daytona/internal/engine/enginetest"
	"github.com/opendaytona/daytona/internal/oci"

	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/snapshot"
)

const buildFailure = "The build failed in line 2 of the Dockerfile (RUN exit 7): exit code 7."

// builder fails at once where a step does, and makes an image otherwise.
type builder struct{ images *memoryImages }

func (b builder) Build(ctx context.Context, r snapshot.BuildRequest) (*oci.Image, error) {
	if strings.Contains(r.Build.Dockerfile, "RUN exit 7") {
		fmt.Fprintln(r.Log, "#1 RUN exit 7")
		return nil, failure(buildFailure)
	}
	return b.images.Pull(ctx, "", "", r.Owner, nil)
}

func (builder) Versions(_ context.Context, _ string, contexts []string) ([]string, error) {
	return contexts, nil
}

const failingBuild = `"buildInfo":{"dockerfileContent":"FROM debian:12.9\nRUN exit 7\n"}`

// logOf reads it to its end, as one that is told of a build does at once.
func (s *testServer) logOf(path string) string {
	s.Helper()
	status, text := s.raw(s.key, "GET", path+"/build-logs?follow=true", "")
	if status != 200 {
		s.Fatalf("%s: %d %s", path, status, text)
	}
	return string(text)
}

func TestABuildThatFailsAtOnceIsReadAfterwards(t *testing.T) {
	s := newServer(t)
	got := s.call("POST", "/api/snapshots", `{"name":"snap",`+failingBuild+`}`, 200)
	if got["state"] != "building" && got["state"] != "pending" || got["errorReason"] != nil {
		t.Errorf("the snapshot is told as %v", got)
	}
	if log := s.logOf("/api/snapshots/snap"); !strings.Contains(log, "#1 RUN exit 7") || !strings.HasSuffix(log, buildFailure) {
		t.Errorf("its log: %q", log)
	}
	s.eventually("the snapshot says why", func() bool {
		got := s.call("GET", "/api/snapshots/snap", "", 200)
		return got["state"] == "build_failed" && got["errorReason"] == buildFailure
	})

	for range 3 { // each anew, though the build is the same
		sb := s.call("POST", "/api/sandbox", `{`+failingBuild+`}`, 200)
		if sb["state"] != "pending_build" || sb["errorReason"] != nil {
			t.Errorf("the sandbox is told as %v", sb)
		}
		path := fmt.Sprint("/api/sandbox/", sb["id"])
		if log := s.logOf(path); !strings.Contains(log, "#1 RUN exit 7") || !strings.HasSuffix(log, buildFailure) {
			t.Errorf("its log: %q", log)
		}
		s.eventually("the sandbox says why", func() bool {
			got := s.call("GET", path, "", 200)
			return got["state"] == "build_failed" && got["errorReason"] == buildFailure
		})
	}
}

// as makes a request of the client that has the name, and returns the state or
// the message of the answer.
func (s *testServer) as(client, path, body string) (status int, told string) {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.key)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Daytona-Source", client)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct{ State, Message string }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		s.Fatal(err)
	}
	return res.StatusCode, answer.State + answer.Message
}

func TestAnEarlyFailureIsAnErrorForClientsThatShowNoOtherReason(t *testing.T) {
	s := newServer(t)
	const end = "The end of its log:\n#1 RUN exit 7"
	for client, want := range map[string]struct{ sandbox, snapshot bool }{
		"": {}, "sdk-python": {}, "opendaytona-go": {}, "cli": {}, "sdk-go": {sandbox: true}, "sdk-java": {sandbox: true, snapshot: true},
	} {
		status, told := s.as(client, "/api/sandbox", `{`+failingBuild+`}`)
		if want.sandbox {
			if status != 400 || !strings.HasPrefix(told, "Sandbox failed to start: "+buildFailure) || !strings.HasSuffix(told, end) {
				t.Errorf("%s is told of a sandbox %d %q", client, status, told)
			}
		} else if status != 200 || told != "pending_build" {
			t.Errorf("%q is told of a sandbox %d %q", client, status, told)
		}
		status, told = s.as(client, "/api/snapshots", `{"name":"snap",`+failingBuild+`}`)
		if want.snapshot {
			if status != 400 || !strings.Contains(told, buildFailure) || !strings.HasSuffix(told, end) {
				t.Errorf("%s is told of a snapshot %d %q", client, status, told)
			}
		} else if status != 200 || told != "pending" && told != "building" {
			t.Errorf("%q is told of a snapshot %d %q", client, status, told)
		}
		s.call("DELETE", "/api/snapshots/snap", "", 200)
	}
	s.images.fails("Image debian:12.9 was not found: check its name and tag.")
	if status, told := s.as("sdk-java", "/api/snapshots", `{"name":"snap","imageName":"debian:12.9"}`); status != 400 || !strings.Contains(told, "check its name and tag") {
		t.Errorf("of a pull it is told %d %q", status, told)
	}
}

// A log is read of builds that are told of as to come, whoever asks.
func TestABuildThatDoesNotFailIsToldAsToCome(t *testing.T) {
	s := newServer(t)
	for _, client := range []string{"", "sdk-go", "sdk-java"} {
		body := fmt.Sprintf(`{"buildInfo":{"dockerfileContent":"FROM debian:12.9\nLABEL of=%s\n"}}`, client+"x")
		if status, told := s.as(client, "/api/sandbox", body); status != 200 || told != "pending_build" {
			t.Errorf("%q is told %d %q", client, status, told)
		}
	}
}

func TestAStartThatFailsIsAnErrorThatSaysWhy(t *testing.T) {
	s := newServer(t)
	s.snapshot("snap")
	s.engine.Inject(enginetest.Fault{Method: "Start", Err: errors.New("no such device")})
	failed := func(method, path, body string) (sandboxID string) {
		t.Helper()
		got := s.call(method, path, body, 400)
		if message := fmt.Sprint(got["message"]); got["code"] != "SANDBOX_START_FAILED" || !strings.HasPrefix(message, "Sandbox failed to start: ") || !strings.Contains(message, "no such device") {
			t.Errorf("%s %s: %v", method, path, got)
		}
		return fmt.Sprint(got["sandboxId"])
	}
	id := failed("POST", "/api/sandbox", `{"snapshot":"snap","name":"box"}`)
	// It is kept, so that somebody may look or try again.
	if got := s.call("GET", "/api/sandbox/"+id, "", 200); got["name"] != "box" || got["state"] != "error" || !strings.Contains(fmt.Sprint(got["errorReason"]), "no such device") {
		t.Errorf("it is told as %v", got)
	}
	failed("POST", "/api/sandbox/box/start", "")
	s.engine.Heal()
	if got := s.call("POST", "/api/sandbox/box/start", "", 200); got["state"] != "started" || got["errorReason"] != nil {
		t.Errorf("mended it is %v", got)
	}
	s.engine.Inject(enginetest.Fault{Method: "Start", Err: errors.New("no such device")})
	fork := failed("POST", "/api/sandbox/box/fork", `{}`)
	if got := s.call("GET", "/api/sandbox/"+fork, "", 200); fork == id || got["state"] != "error" {
		t.Errorf("the fork %s is told as %v", fork, got)
	}
}

// The sandboxes of a snapshot that is pulled are told of its failure.
func TestACreateWaitsForItsSnapshot(t *testing.T) {
	s := newServer(t)
	s.snapshot("snap")
	s.call("POST", "/api/snapshots/snap/deactivate", "", 204)
	s.eventually("the image is let go", func() bool { return s.images.holders() == "" })
	if got := s.call("POST", "/api/sandbox", `{"snapshot":"snap","name":"box"}`, 200); got["state"] != "started" {
		t.Errorf("it is %v", got["state"])
	}
	s.call("DELETE", "/api/sandbox/box", "", 200)
	s.call("POST", "/api/snapshots/snap/deactivate", "", 204)
	s.eventually("the image is let go again", func() bool { return s.images.holders() == "" })
	s.images.fails("Image debian:12.9 was not found: check its name and tag.")
	if got := fmt.Sprint(s.call("POST", "/api/sandbox", `{"snapshot":"snap"}`, 400)["message"]); !strings.Contains(got, "check its name and tag") {
		t.Errorf("says %q", got)
	}
}
