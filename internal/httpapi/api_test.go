package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/buildlog"
	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/engine/enginetest"
	"github.com/opendaytona/daytona/internal/oci"
	"github.com/opendaytona/daytona/internal/preview"
	"github.com/opendaytona/daytona/internal/quota"
	"github.com/opendaytona/daytona/internal/region"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/secretbox"
	"github.com/opendaytona/daytona/internal/snapshot"
	"github.com/opendaytona/daytona/internal/store"
)

// testServer is the API over the real services and store; only the machine
// below them (images, sandboxes) is in memory.
type testServer struct {
	*testing.T
	url    string
	key    string
	images *memoryImages
	engine *enginetest.Machine
}

func newServer(t *testing.T) *testServer {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "db"), secretbox.NewKey(), log)
	if err != nil {
		t.Fatal(err)
	}
	accounts := account.NewService(account.Config{
		Store: db, Clock: clock.RealClock{}, DefaultRegion: "us", DeactivateAfter: 14 * 24 * time.Hour,
		Quota: quota.Limits{MaxCPU: 4, MaxMemory: 8, MaxDisk: 10, TotalCPU: 6, TotalMemory: 20, TotalDisk: 40, Snapshots: 5},
	})
	key, err := accounts.Bootstrap(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	logs, err := buildlog.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	regions := &region.Service{Regions: []region.Region{{ID: "us", Name: "us"}}, OrganizationDefault: accounts.OrganizationRegion}
	s := &testServer{T: t, key: key, images: &memoryImages{owners: map[string]string{}}, engine: enginetest.NewMachine()}
	machine := s.engine.Open()
	jobs := controller.New(controller.Options{Log: log})
	snapshots := snapshot.NewService(snapshot.Config{
		Store: db, Images: s.images, Captures: captures{machine, s.images}, Builder: builder{s.images}, Regions: regions, Limits: accounts, Events: noEvents{}, Logs: logs, Clock: clock.RealClock{}, Log: log, Controller: jobs,
	})
	sandboxes := sandbox.NewService(sandbox.Config{
		Secrets: secretbox.NewKey(),
		Store:   db, Engine: machine, Snapshots: snapshots, Regions: regions, Limits: accounts, Events: noEvents{},
		Clock: clock.RealClock{}, Log: log, DefaultSnapshot: "default", Controller: jobs,
		LimitedEgress: sandbox.Network{Domains: []string{"allowed.test"}},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := jobs.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		if err := snapshots.Run(ctx); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		if err := sandboxes.Run(ctx); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	web := httptest.NewServer(New(Config{
		Accounts: accounts, Regions: regions, Snapshots: snapshots, Sandboxes: sandboxes, Usage: db, Previews: preview.NewService(preview.Config{Domain: "localhost"}), Logs: logs, Log: log, Version: "test",
		DefaultSnapshot: "default", Ready: map[string]func(context.Context) error{"database": db.Ping},
	}))
	s.url = web.URL
	t.Cleanup(func() {
		web.Close()
		cancel()
		wg.Wait()
		if err := errors.Join(machine.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestTheNetworkOfASandboxIsItsOwnOrItsOrganizations(t *testing.T) {
	s := newServer(t)
	s.snapshot("default")
	network := func(body string) string {
		t.Helper()
		sb := s.call("POST", "/api/sandbox", body, 200)
		s.call("DELETE", fmt.Sprint("/api/sandbox/", sb["id"]), "", 200)
		return fmt.Sprintf("%v %v %v", sb["networkBlockAll"], sb["networkAllowList"], sb["domainAllowList"])
	}
	own := `{"domainAllowList":"Example.com., *.example.org,example.com","networkAllowList":"192.0.2.7/24, 2001:DB8::7/64"}`
	if got := network(own); got != "false 192.0.2.7/24, 2001:DB8::7/64 Example.com., *.example.org,example.com" {
		t.Error("not as it was sent: ", got)
	}
	for _, nothing := range []string{`""`, `" "`, `null`} {
		if got := network(`{"networkAllowList":` + nothing + `,"domainAllowList":` + nothing + `}`); got != "false <nil> <nil>" {
			t.Errorf("lists of %s: %s", nothing, got)
		}
	}
	for _, commas := range []string{`{"networkAllowList":","}`, `{"domainAllowList":" , ,"}`} {
		if got := s.call("POST", "/api/sandbox", commas, 400)["message"]; !strings.Contains(fmt.Sprint(got), "nothing between them") {
			t.Errorf("%s: %v", commas, got)
		}
	}
	organization := fmt.Sprint(s.call("GET", "/api/sandbox/"+fmt.Sprint(s.call("POST", "/api/sandbox", `{}`, 200)["id"]), "", 200)["organizationId"])
	limit := func(on bool) {
		t.Helper()
		s.call("POST", "/api/organizations/"+organization+"/sandbox-default-limited-network-egress", fmt.Sprintf(`{"sandboxDefaultLimitedNetworkEgress":%v}`, on), 204)
		if got := s.call("GET", "/api/organizations/"+organization, "", 200)["sandboxLimitedNetworkEgress"]; got != on {
			t.Errorf("the organization says %v", got)
		}
	}
	limit(true)
	if got := network(`{}`); got != "false <nil> allowed.test" {
		t.Error("limited by default: ", got)
	}
	if got := network(own); !strings.HasSuffix(got, "*.example.org,example.com") {
		t.Error("a list of its own: ", got)
	}
	limit(false)
	if got := network(`{}`); got != "false <nil> <nil>" {
		t.Error("not limited any more: ", got)
	}
	sb := fmt.Sprint(s.call("POST", "/api/sandbox", `{"networkBlockAll":true}`, 200)["id"])
	for body, status := range map[string]int{
		`{}`: 400, `{"domainAllowList":"https://example.com"}`: 400, `{"domainAllowList":"192.0.2.1"}`: 400, `{"networkAllowList":"example.com"}`: 400,
		`{"domainAllowList":"2001:db8::1"}`: 400, `{"networkAllowList":"2001:db8::1"}`: 400, `{"networkAllowList":"::ffff:192.0.2.0/120"}`: 400,
	} {
		s.call("POST", "/api/sandbox/"+sb+"/network-settings", body, status)
	}
	changed := s.call("POST", "/api/sandbox/"+sb+"/network-settings", `{"domainAllowList":"example.com"}`, 200)
	if changed["networkBlockAll"] != false || changed["domainAllowList"] != "example.com" {
		t.Errorf("an allow list does not end a block: %v", changed)
	}
	changed = s.call("POST", "/api/sandbox/"+sb+"/network-settings", `{"networkAllowList":"192.0.2.7/24"}`, 200)
	if changed["networkAllowList"] != "192.0.2.7/24" || changed["domainAllowList"] != "example.com" {
		t.Errorf("a list beside another: %v", changed)
	}
	changed = s.call("POST", "/api/sandbox/"+sb+"/network-settings", `{"networkBlockAll":true}`, 200)
	if changed["networkBlockAll"] != true || changed["networkAllowList"] != "192.0.2.7/24" {
		t.Errorf("a block leaves the lists for its end: %v", changed)
	}
	changed = s.call("POST", "/api/sandbox/"+sb+"/network-settings", `{"networkAllowList":"","domainAllowList":"","networkBlockAll":false}`, 200)
	if changed["networkBlockAll"] != false || changed["networkAllowList"] != nil || changed["domainAllowList"] != nil {
		t.Errorf("empty lists take them away: %v", changed)
	}
}

// call makes a request and decodes its JSON answer.
func (s *testServer) call(method, path, requestBody string, want int) map[string]any {
	s.Helper()
	got, text := s.raw(s.key, method, path, requestBody)
	if got != want {
		s.Fatalf("%s %s: %d, want %d: %s", method, path, got, want, text)
	}
	var out map[string]any
	if len(text) > 0 && text[0] == '{' {
		if err := json.Unmarshal(text, &out); err != nil {
			s.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
	if want >= 400 {
		for _, field := range []string{"statusCode", "message", "error", "path", "timestamp", "source", "code"} {
			if out[field] == nil || out[field] == "" {
				s.Errorf("%s %s: the error has no %s: %s", method, path, field, text)
			}
		}
		if out["path"] != strings.Split(path, "?")[0] && !strings.Contains(path, "%") {
			s.Errorf("%s %s: the error names the path %v", method, path, out["path"])
		}
	}
	return out
}

func (s *testServer) raw(key, method, path, requestBody string) (int, []byte) {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), method, s.url+path, strings.NewReader(requestBody))
	if err != nil {
		s.Fatal(err)
	}
	if requestBody != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	return res.StatusCode, bytes.TrimSpace(text)
}

func (s *testServer) snapshot(name string) {
	s.Helper()
	if got := s.call("POST", "/api/snapshots", fmt.Sprintf(`{"name":%q,"imageName":"debian:12.9"}`, name), 200); got["state"] != "active" {
		s.Fatalf("snapshot is %v: %v", got["state"], got["errorReason"])
	}
}

func TestFromImageToSandboxAndBack(t *testing.T) {
	s := newServer(t)
	s.snapshot("team/default:1")
	got := s.call("GET", "/api/snapshots/team%2Fdefault:1", "", 200)
	if got["ref"] == "" || got["mem"] != 1.0 || got["disk"] != 3.0 || fmt.Sprint(got["entrypoint"]) != "[sleep infinity]" {
		t.Errorf("got %v", got)
	}
	sb := s.call("POST", "/api/sandbox", `{"snapshot":"team/default:1","name":"box","labels":{"a":"b"},"unknown":1}`, 200)
	if sb["state"] != "started" || sb["user"] != "root" || sb["toolboxProxyUrl"] != s.url+"/toolbox" {
		t.Errorf("got %v", sb)
	}
	id := sb["id"].(string)
	if got := s.call("POST", "/api/sandbox/box/stop", "", 200); got["state"] != "stopped" {
		t.Errorf("after stop: %v", got["state"])
	}
	if got := s.call("POST", "/api/sandbox/"+id+"/start", "", 200); got["state"] != "started" {
		t.Errorf("after start: %v", got["state"])
	}
	if got := s.call("POST", "/api/sandbox/box/autostop/30", "", 200); got["autoStopInterval"] != 30.0 {
		t.Errorf("auto-stop: %v", got["autoStopInterval"])
	}
	if got := s.call("PUT", "/api/sandbox/box/labels", `{"labels":{"x":"y"}}`, 200); fmt.Sprint(got["labels"]) != "map[x:y]" {
		t.Errorf("labels: %v", got)
	}
	s.call("POST", "/api/sandbox/"+id+"/last-activity", `{}`, 201)
	if got := s.call("GET", `/api/sandbox?labels={"x":"y"}&states=started`, "", 200); len(got["items"].([]any)) != 1 || got["nextCursor"] != nil {
		t.Errorf("listed %v", got)
	}
	// The image stays for its sandbox when the snapshot goes.
	s.call("DELETE", "/api/snapshots/team%2Fdefault:1", "", 200)
	s.eventually("the snapshot's hold passes to its sandbox", func() bool { return s.images.holders() == "sandboxes-of/sha256:1" })
	s.call("DELETE", "/api/sandbox/box", "", 200)
	s.eventually("the image is let go", func() bool { return s.images.holders() == "" })
	s.eventually("the sandbox is gone", func() bool {
		status, _ := s.raw(s.key, "GET", "/api/sandbox/box", "")
		return status == 404
	})
}

func (s *testServer) eventually(what string, is func() bool) {
	s.Helper()
	for end := time.Now().Add(5 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("never: %s", what)
		}
	}
}

func TestAnInactiveSnapshotComesBackForASandbox(t *testing.T) {
	s := newServer(t)
	s.snapshot("snap")
	s.call("POST", "/api/snapshots/snap/activate", "", 400)
	s.call("POST", "/api/snapshots/snap/deactivate", "", 204)
	s.call("POST", "/api/snapshots/snap/deactivate", "", 204)
	s.eventually("the image is let go", func() bool { return s.images.holders() == "" })
	sb := s.call("POST", "/api/sandbox", `{"snapshot":"snap","name":"box"}`, 200)
	s.eventually("it starts", func() bool { return s.call("GET", "/api/sandbox/box", "", 200)["state"] == "started" })
	if sb["state"] != "pulling_snapshot" && sb["state"] != "started" && sb["state"] != "creating" {
		t.Errorf("answered %v", sb["state"])
	}
}

func TestAFailedPullSaysWhyAndItsNameIsFreeAgain(t *testing.T) {
	s := newServer(t)
	const why = "Image debian:12.9 was not found: check its name and tag."
	s.images.fails(why)
	got := s.call("POST", "/api/snapshots", `{"name":"snap","imageName":"debian:12.9"}`, 200)
	if got["state"] != "pulling" || got["errorReason"] != nil {
		t.Errorf("told at once: %v", got)
	}
	s.eventually("it says why", func() bool {
		got := s.call("GET", "/api/snapshots/snap", "", 200)
		return got["state"] == "error" && got["errorReason"] == why
	})
	if _, text := s.raw(s.key, "GET", "/api/snapshots/snap/build-logs?follow=true", ""); !strings.Contains(string(text), why) {
		t.Errorf("the log says %q", text)
	}
	s.call("POST", "/api/sandbox", `{"snapshot":"snap"}`, 400)
	s.call("DELETE", "/api/snapshots/snap", "", 200)
	s.images.fails("")
	s.snapshot("snap")
}

func TestASandboxIsResizedWithinItsUseAndQuota(t *testing.T) {
	s := newServer(t)
	s.snapshot("snap") // 1 core, 1 GiB, 3 GiB
	id := fmt.Sprint(s.call("POST", "/api/sandbox", `{"snapshot":"snap","name":"box"}`, 200)["id"])
	s.call("POST", "/api/sandbox", `{"snapshot":"snap","name":"other"}`, 200)
	for _, c := range []struct {
		body   string
		status int
		says   string
	}{
		{`{"cpu":2,"memory":4}`, 200, ""},
		{`{"disk":6}`, 200, ""},
		{`{"cpu":5}`, 400, "at most 4 cores"},
		{`{"cpu":0}`, 400, "cpu"},
		{`{"memory":"much"}`, 400, "memory"},
		{`{}`, 400, "Give cpu, memory or disk"},
		{`{"memory":3}`, 400, "uses 3.50 GiB"},
		{`{"memory":4,"cpu":3}`, 200, ""},
		{`{"cpu":2}`, 200, ""},
	} {
		s.engine.UseMemory(id, 7<<29)
		if got := fmt.Sprint(s.call("POST", "/api/sandbox/box/resize", c.body, c.status)["message"]); !strings.Contains(got, c.says) {
			t.Errorf("%s: says %q", c.body, got)
		}
	}
	got := s.call("GET", "/api/sandbox/box", "", 200)
	if got["cpu"] != 2.0 || got["memory"] != 4.0 || got["disk"] != 6.0 {
		t.Errorf("it has %v cores, %v and %v GiB", got["cpu"], got["memory"], got["disk"])
	}
	spec, _ := s.engine.Running(id)
	if size := spec.Resources; size.CPU != 2 || size.Memory != 4<<30 || size.Disk != 6<<30 {
		t.Errorf("the engine has %+v", size)
	}
	// 6 cores in all: what others have counts, what it has itself does not.
	s.call("POST", "/api/sandbox/box/resize", `{"cpu":4}`, 200)
	if got := fmt.Sprint(s.call("POST", "/api/sandbox/other/resize", `{"cpu":3,"memory":4}`, 400)["message"]); !strings.Contains(got, "4 of 6 cores are used, 3 more") {
		t.Errorf("says %q", got)
	}
	s.call("POST", "/api/sandbox/other/resize", `{"cpu":2,"memory":4}`, 200)
	s.call("POST", "/api/sandbox/none/resize", `{"cpu":2}`, 404)
}

func TestBadRequestsAreToldWhatIsWrong(t *testing.T) {
	s := newServer(t)
	s.snapshot("snap")
	s.call("POST", "/api/sandbox", `{"snapshot":"snap","name":"box"}`, 200)
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"POST", "/api/snapshots", `{"name":"bad name","imageName":"debian:12.9"}`, 400, "bad name"},
		{"POST", "/api/snapshots", `{"name":"a","imageName":"debian:latest"}`, 400, "latest"},
		{"POST", "/api/snapshots", `{"name":"a"}`, 400, "imageName"},
		{"POST", "/api/snapshots", `{"name":"a","imageName":"debian:12.9","cpu":0}`, 400, "cpu"},
		{"POST", "/api/snapshots", `{"name":"a","imageName":"debian:12.9","cpu":1.5}`, 400, "cpu"},
		{"POST", "/api/snapshots", `{"name":"a","imageName":"debian:12.9","memory":-1}`, 400, "memory"},
		{"POST", "/api/snapshots", `{"name":"a","imageName":"debian:12.9","disk":1000000000}`, 400, "disk quota"},
		{"POST", "/api/snapshots", `{"name":"a","imageName":"debian:12.9","cpu":"two"}`, 400, "cpu"},
		{"POST", "/api/snapshots", `{"name":7,"imageName":"debian:12.9"}`, 400, "name"},
		{"POST", "/api/snapshots", `{`, 400, ""},
		{"POST", "/api/snapshots", `{"name":"a","imageName":"debian:12.9","regionId":"mars"}`, 404, "mars"},
		{"POST", "/api/snapshots", `{"name":"snap","imageName":"debian:12.9"}`, 409, "snap"},
		{"GET", "/api/snapshots?page=0", "", 400, "page"},
		{"GET", "/api/snapshots?limit=0", "", 400, "limit"},
		{"GET", "/api/snapshots?limit=1000000", "", 400, "limit"},
		{"GET", "/api/snapshots/none", "", 404, "none"},
		{"POST", "/api/sandbox", `{"snapshot":"none"}`, 404, "none"},
		{"POST", "/api/sandbox", `{}`, 400, "default"},
		{"POST", "/api/sandbox", `{"snapshot":"snap","name":"box"}`, 409, "box"},
		{"POST", "/api/sandbox", `{"snapshot":"snap","target":"mars"}`, 404, "mars"},
		{"POST", "/api/sandbox", `{"snapshot":"snap","autoStopInterval":-1}`, 400, "autoStopInterval"},
		{"POST", "/api/sandbox", `{"snapshot":"snap","env":{"A":1}}`, 400, "env"},
		{"POST", "/api/sandbox", `{"snapshot":"snap","env":{"A":"\u0000"}}`, 400, "NUL"},
		{"POST", "/api/sandbox", `{"snapshot":"snap","cpu":2}`, 400, "snapshot"},
		{"POST", "/api/sandbox", `{"snapshot":"snap","networkAllowList":"everything"}`, 400, "everything"},
		{"GET", "/api/sandbox?cursor=x", "", 400, "cursor"},
		{"GET", "/api/sandbox?labels=x", "", 400, "labels"},
		{"GET", "/api/sandbox/none", "", 404, "none"},
		{"GET", "/api/nothing/here", "", 404, "route"},
		{"POST", "/api/sandbox", `{"name":"` + strings.Repeat("x", 2<<20) + `"}`, 413, "large"},
		{"POST", "/api/api-keys", `{"name":"k","permissions":["fly"]}`, 400, "fly"},
		{"GET", "/api/organizations/none", "", 404, "none"},
	} {
		got := s.call(c.method, c.path, c.body, c.status)
		if message := fmt.Sprint(got["message"]); !strings.Contains(message, c.says) {
			t.Errorf("%s %s %.80s: message %q does not mention %q", c.method, c.path, c.body, message, c.says)
		}
	}
}

func TestQuotasNameWhatIsUsedAndAsked(t *testing.T) {
	s := newServer(t)
	s.call("POST", "/api/snapshots", `{"name":"big","imageName":"debian:12.9","cpu":4,"memory":4,"disk":10}`, 200)
	s.call("POST", "/api/sandbox", `{"snapshot":"big"}`, 200)
	got := s.call("POST", "/api/sandbox", `{"snapshot":"big"}`, 400)
	if m := fmt.Sprint(got["message"]); !strings.Contains(m, "CPU") || !strings.Contains(m, "4 of 6") || !strings.Contains(m, "4 more") {
		t.Errorf("message %q", m)
	}
	for i := range 4 {
		s.snapshot(fmt.Sprintf("s%d", i))
	}
	got = s.call("POST", "/api/snapshots", `{"name":"more","imageName":"debian:12.9"}`, 400)
	if m := fmt.Sprint(got["message"]); !strings.Contains(m, "5 of 5") {
		t.Errorf("message %q", m)
	}
	organizations, text := s.raw(s.key, "GET", "/api/organizations", "")
	var list []api.Organization
	if err := json.Unmarshal(text, &list); err != nil || organizations != 200 || len(list) != 1 {
		t.Fatalf("%d %s %v", organizations, text, err)
	}
	usage := s.call("GET", "/api/organizations/"+list[0].ID+"/usage", "", 200)
	if usage["currentSnapshotUsage"] != 5.0 || fmt.Sprint(usage["regionUsage"].([]any)[0].(map[string]any)["currentCpuUsage"]) != "4" {
		t.Errorf("usage %v", usage)
	}
}

func TestForksSnapshotsOfSandboxesAndPoolsCountToTheQuota(t *testing.T) {
	s := newServer(t) // 6 cores, 5 snapshots
	s.call("POST", "/api/snapshots", `{"name":"two","imageName":"debian:12.9","cpu":2,"memory":1,"disk":3}`, 200)
	s.call("POST", "/api/sandbox", `{"snapshot":"two","name":"box"}`, 200)
	s.call("POST", "/api/sandbox/box/fork", `{"name":"fork"}`, 200)
	pool := s.call("POST", "/api/warm-pools", `{"snapshot":"two","pool":3}`, 201)
	var told map[string]any
	s.eventually("the pool says why it is not full", func() bool {
		_, text := s.raw(s.key, "GET", "/api/warm-pools", "")
		var pools []map[string]any
		if err := json.Unmarshal(text, &pools); err != nil || len(pools) != 1 {
			t.Fatalf("%s: %v", text, err)
		}
		told = pools[0]
		return told["currentSize"] == 1.0 && strings.Contains(fmt.Sprint(told["errorReason"]), "6 of 6")
	})
	if m := fmt.Sprint(s.call("POST", "/api/sandbox/box/fork", `{"name":"one-too-many"}`, 400)["message"]); !strings.Contains(m, "CPU") {
		t.Errorf("the fork: %q", m)
	}
	s.call("POST", "/api/sandbox", `{"snapshot":"two"}`, 200) // what waits was counted already
	s.call("DELETE", fmt.Sprintf("/api/warm-pools/%s", pool["id"]), "", 204)

	for i := range 4 {
		s.snapshot(fmt.Sprintf("s%d", i))
	}
	if m := fmt.Sprint(s.call("POST", "/api/sandbox/box/snapshot", `{"name":"more"}`, 400)["message"]); !strings.Contains(m, "5 of 5") {
		t.Errorf("the snapshot: %q", m)
	}
	if state := s.call("GET", "/api/sandbox/box", "", 200)["state"]; state != "started" {
		t.Errorf("the sandbox is %v", state)
	}
}

func TestKeysDoWhatTheirPermissionsSay(t *testing.T) {
	s := newServer(t)
	s.snapshot("snap")
	made := s.call("POST", "/api/api-keys", `{"name":"reader","permissions":["write:sandboxes"]}`, 201)
	key := made["value"].(string)
	for _, c := range []struct {
		key, method, path, body string
		want                    int
	}{
		{key, "GET", "/api/snapshots", "", 200},
		{key, "POST", "/api/sandbox", `{"snapshot":"snap","name":"box"}`, 200},
		{key, "DELETE", "/api/sandbox/box", "", 403},
		{key, "POST", "/api/snapshots", `{"name":"a","imageName":"debian:12.9"}`, 403},
		{key, "POST", "/api/api-keys", `{"name":"b","permissions":["delete:sandboxes"]}`, 403},
		{"", "GET", "/api/snapshots", "", 401},
		{"dtn_wrong", "GET", "/api/snapshots", "", 401},
		{"", "GET", "/api/health", "", 200},
		{"", "GET", "/api/health/ready", "", 200},
		{"", "GET", "/api/config", "", 200},
		{"", "GET", "/api/docs", "", 200},
		{s.key, "DELETE", "/api/api-keys/reader", "", 204},
		{key, "GET", "/api/snapshots", "", 401},
	} {
		if got, text := s.raw(c.key, c.method, c.path, c.body); got != c.want {
			t.Errorf("%s %s: %d, want %d: %s", c.method, c.path, got, c.want, text)
		}
	}
	if text := fmt.Sprint(s.call("GET", "/api/api-keys/current", "", 200)); strings.Contains(text, s.key) {
		t.Error("a key's value is told again")
	}
}

func TestOpenAPIListsEveryOperation(t *testing.T) {
	s := newServer(t)
	doc := s.call("GET", "/api/openapi.json", "", 200)
	paths := doc["paths"].(map[string]any)
	for _, p := range []string{"/snapshots", "/snapshots/{id}/activate", "/sandbox", "/sandbox/{sandboxIdOrName}/start", "/api-keys", "/config", "/shared-regions"} {
		if paths[p] == nil {
			t.Errorf("%s is missing", p)
		}
	}
}

type noEvents struct{}

func (noEvents) SnapshotCreated(*snapshot.Snapshot)                           {}
func (noEvents) SnapshotStateChanged(*snapshot.Snapshot, snapshot.State)      {}
func (noEvents) SnapshotRemoved(*snapshot.Snapshot)                           {}
func (noEvents) SandboxCreated(*sandbox.Sandbox)                              {}
func (noEvents) SandboxStateChanged(*sandbox.Sandbox, sandbox.State)          {}
func (noEvents) SandboxDesiredStateChanged(*sandbox.Sandbox, sandbox.Desired) {}

type failure string

func (f failure) Error() string   { return "pull: " + string(f) }
func (f failure) Message() string { return string(f) }

// memoryImages has one image under every reference.
type memoryImages struct {
	mu     sync.Mutex
	owners map[string]string
	fail   string
}

// fails lets every pull fail, or with "" none.
func (m *memoryImages) fails(why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = why
}

func (m *memoryImages) ValidateReference(ref string) error {
	if strings.HasSuffix(ref, ":latest") {
		return fmt.Errorf("image %s has the tag latest, which is not allowed", ref)
	}
	return nil
}

func (m *memoryImages) Pull(_ context.Context, _, _, owner string, _ func(string)) (*oci.Image, error) {
	m.mu.Lock()
	fail := m.fail
	m.mu.Unlock()
	if fail != "" {
		return nil, failure(fail)
	}
	return &oci.Image{Digest: "sha256:1", DefaultUser: "root"}, m.Hold(context.Background(), owner, "sha256:1")
}

func (m *memoryImages) Image(_ context.Context, digest string) (*oci.Image, error) {
	return &oci.Image{Digest: digest, DefaultUser: "root"}, nil
}

func (m *memoryImages) Registry(ref string) string { return oci.RegistryOf(ref) }

func (m *memoryImages) Pinned(ref, digest string) (string, error) { return ref + "@" + digest, nil }

func (m *memoryImages) Hold(_ context.Context, owner, digest string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owners[owner] = digest
	return nil
}

func (m *memoryImages) Release(_ context.Context, owner string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.owners, owner)
	return nil
}

func (m *memoryImages) Owners(context.Context) (map[string]string, error) {
	return map[string]string{}, nil
}

func (m *memoryImages) holders() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for owner := range m.owners {
		all = append(all, owner)
	}
	return strings.Join(all, " ")
}

func (*memoryImages) Contents(context.Context, string) (oci.Contents, error) {
	return everything{}, nil
}

// everything is an image that has every program and user.
type everything struct{}

func (everything) Has(string) bool              { return false }
func (everything) HasProgram(string) bool       { return true }
func (everything) Lacks(string) (string, error) { return "", nil }
