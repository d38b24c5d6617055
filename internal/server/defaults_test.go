package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/opendaytona/daytona/internal/config"
	"github.com/opendaytona/daytona/internal/defaultimage"
)

// buildable is a base image whose build goes as the test wants.
type buildable struct {
	registry http.Handler
	begun    chan struct{}
	results  chan error

	mu     sync.Mutex
	builds int
}

func newBuildable(t *testing.T) *buildable {
	t.Helper()
	b := &buildable{registry: testRegistry(), begun: make(chan struct{}, 9), results: make(chan error, 9)}
	web := httptest.NewServer(b.registry)
	defer web.Close()
	push(t, web.URL, "base:1")
	return b
}

func (b *buildable) machine(e *memoryEngine) host {
	m := testHost(e)
	m.images.Base.Build = func(ctx context.Context, _ string, _ *slog.Logger, progress func(string)) error {
		b.mu.Lock()
		b.builds++
		b.mu.Unlock()
		progress("unpacking packages")
		b.begun <- struct{}{}
		select {
		case err := <-b.results:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	m.images.Recipe = defaultimage.Recipe{Version: "1", Dockerfile: func(variant, base string) string { return "FROM " + base + "\nLABEL variant=" + variant + "\n" }, Fill: func(string) error { return nil }}
	m.images.Base.Handler = func(string) (http.Handler, error) { return b.registry, nil }
	return m
}

func (ts *testServer) states() string {
	var out []string
	for _, item := range ts.call("GET", "/api/snapshots?sort=name", "", 200)["items"].([]any) {
		s := item.(map[string]any)
		out = append(out, fmt.Sprintf("%v %v %v/%v/%v", s["name"], s["state"], s["cpu"], s["mem"], s["disk"]))
	}
	return strings.Join(out, ", ")
}

const allActive = "daytona-large active 4/8/10, daytona-medium active 2/4/8, daytona-small active 1/1/3"

func TestASandboxWaitsForTheDefaultSnapshotThatIsBeingMade(t *testing.T) {
	e, b := newMemoryEngine(t, http.HandlerFunc(echo)), newBuildable(t)
	c := testConfig(t, "--default-image", "debian")
	s := start(t, c, b.machine(e))
	<-b.begun
	created := make(chan string, 1)
	go func() {
		_, text := s.raw("POST", s.origin()+"/api/sandbox", s.creds.APIKey, `{"name":"box"}`)
		created <- text
	}()
	s.eventually("the sandbox waits while the image is built", func() bool {
		status, text := s.raw("GET", s.origin()+"/api/sandbox/box", s.creds.APIKey, "")
		return status == http.StatusOK && strings.Contains(text, `"state":"pulling_snapshot"`)
	})
	b.results <- nil
	if got := <-created; !strings.Contains(got, `"state":"started"`) {
		t.Errorf("once the image is built the answer is %s", got)
	}
	s.eventually("all are active", func() bool { return s.states() == allActive })
	if b.builds != 1 {
		t.Errorf("the image was built %d times", b.builds)
	}
	small := s.call("GET", "/api/snapshots/daytona-small", "", 200)
	if small["general"] != true || small["imageName"] != "daytona.internal/slim:1" || fmt.Sprint(small["entrypoint"]) != "[sleep infinity]" {
		t.Errorf("got %v", small)
	}
	logs := ""
	for _, d := range defaultimage.Defaults {
		_, text := s.raw("GET", s.origin()+"/api/snapshots/"+d.Name+"/build-logs", s.creds.APIKey, "")
		logs += text
	}
	if !strings.Contains(logs, "unpacking packages") {
		t.Errorf("the logs do not tell the progress: %s", logs)
	}

	// What an administrator deletes stays deleted.
	s.call("DELETE", "/api/snapshots/daytona-large", "", 200)
	s.eventually("it is gone", func() bool { return !strings.Contains(s.states(), "large") })
	s.stop()
	again := start(t, c, b.machine(e))
	if got := again.states(); got != "daytona-medium active 2/4/8, daytona-small active 1/1/3" {
		t.Errorf("after a restart: %s", got)
	}
	again.stop()
	// A first start that was killed half way is gone on with.
	if err := os.Remove(s.Below(config.DefaultsName)); err != nil {
		t.Fatal(err)
	}
	b.results <- nil
	third := start(t, c, b.machine(e))
	third.eventually("all are active", func() bool { return third.states() == allActive })
}

func TestADefaultSnapshotThatFailsSaysWhyAndIsMadeAnewAtTheNextStart(t *testing.T) {
	e, b := newMemoryEngine(t, http.HandlerFunc(echo)), newBuildable(t)
	c := testConfig(t, "--default-image", "debian")
	for range defaultimage.Defaults {
		b.results <- errors.New("no package mirror answers")
	}
	s := start(t, c, b.machine(e))
	s.eventually("all have failed", func() bool { return strings.Count(s.states(), " error ") == 3 })
	if got := s.call("GET", "/api/snapshots/daytona-small", "", 200); !strings.Contains(fmt.Sprint(got["errorReason"]), "no package mirror answers") {
		t.Errorf("the reason is %v", got["errorReason"])
	}
	if got := s.call("POST", "/api/sandbox", `{}`, 400); !strings.Contains(fmt.Sprint(got["message"]), "daytona-small") {
		t.Errorf("got %v", got)
	}
	s.call("DELETE", "/api/snapshots/daytona-medium", "", 200)
	s.eventually("it is gone", func() bool { return !strings.Contains(s.states(), "medium") })
	s.stop()
	b.results <- nil
	again := start(t, c, b.machine(e))
	again.eventually("those that failed are active, and what was deleted stays so", func() bool {
		return again.states() == "daytona-large active 4/8/10, daytona-small active 1/1/3"
	})
}

func TestAServerThatEndsDuringTheBuildGoesOnAtItsNextStart(t *testing.T) {
	e, b := newMemoryEngine(t, http.HandlerFunc(echo)), newBuildable(t)
	c := testConfig(t, "--default-image", "debian")
	s := start(t, c, b.machine(e))
	<-b.begun
	s.stop()
	b.results <- nil
	again := start(t, c, b.machine(e))
	again.eventually("all are active", func() bool { return again.states() == allActive })
}

func (ts *testServer) snapshotLog(name string) string {
	_, text := ts.raw("GET", ts.origin()+"/api/snapshots/"+name+"/build-logs", ts.creds.APIKey, "")
	return text
}

func TestTheDefaultImageStandsOnTheHubsDebianWhereThatHasIt(t *testing.T) {
	hub := strings.TrimPrefix(testHub(t), "http://")
	const own = "daytona.internal/base:1"
	for name, c := range map[string]struct {
		setting, hubImage, image, base string
	}{
		"slim, the hub has it":            {"slim", hub + "/library/small:1", "daytona.internal/slim:1", hub + "/library/small:1"},
		"slim, the hub lacks it":          {"slim", hub + "/library/none:1", "daytona.internal/slim:1", own},
		"slim, no hub answers":            {"slim", "127.0.0.1:1/library/small:1", "daytona.internal/slim:1", own},
		"full":                            {"full", hub + "/library/none:1", "daytona.internal/full:1", own},
		"an image of one's own":           {"library/small:1", hub + "/library/none:1", "library/small:1", ""},
		"debian, whatever else there may": {"debian", hub + "/library/small:1", "daytona.internal/slim:1", own},
	} {
		t.Run(name, func(t *testing.T) {
			e, b := newMemoryEngine(t, http.HandlerFunc(echo)), newBuildable(t)
			b.results <- nil
			m := b.machine(e)
			m.images.HubImage = c.hubImage
			s := start(t, testConfig(t, "--default-image", c.setting, "--plain-http", hub, "--mirror", "docker.io=http://"+hub), m)
			s.eventually("all are active", func() bool { return s.states() == allActive })
			if got := s.call("GET", "/api/snapshots/daytona-small", "", 200)["imageName"]; got != c.image {
				t.Errorf("made of %v, want %s", got, c.image)
			}
			if log := s.snapshotLog("daytona-small"); c.base != "" && !strings.Contains(log, "Building "+c.image+" on "+c.base+"\n") {
				t.Errorf("it does not stand on %s: %s", c.base, log)
			}
		})
	}
}

func TestANewerServerMakesTheDefaultSnapshotsAnew(t *testing.T) {
	e, b := newMemoryEngine(t, http.HandlerFunc(echo)), newBuildable(t)
	c := testConfig(t, "--default-image", "debian")
	b.results <- nil
	s := start(t, c, b.machine(e))
	s.eventually("all are active", func() bool { return s.states() == allActive })
	s.call("DELETE", "/api/snapshots/daytona-large", "", 200)
	s.eventually("it is gone", func() bool { return !strings.Contains(s.states(), "large") })
	s.stop()

	newer := b.machine(e)
	newer.images.Recipe.Version = "2"
	b.results <- nil
	again := start(t, c, newer)
	again.eventually("those that were there are of the new version", func() bool {
		return again.states() == "daytona-medium active 2/4/8, daytona-small active 1/1/3" &&
			again.call("GET", "/api/snapshots/daytona-small", "", 200)["imageName"] == "daytona.internal/slim:2" &&
			again.call("GET", "/api/snapshots/daytona-medium", "", 200)["imageName"] == "daytona.internal/slim:2"
	})
	again.call("POST", "/api/snapshots", `{"name":"old","imageName":"daytona.internal/slim:1"}`, 200)
	again.eventually("another version says which there is", func() bool {
		return strings.Contains(fmt.Sprint(again.call("GET", "/api/snapshots/old", "", 200)["errorReason"]), "this one makes daytona.internal/slim:2")
	})
}

func TestWithoutADefaultImageASandboxMustNameASnapshot(t *testing.T) {
	s := start(t, testConfig(t), testHost(newMemoryEngine(t, http.HandlerFunc(echo))))
	if got := s.states(); got != "" {
		t.Errorf("there are %s", got)
	}
	if got := s.call("POST", "/api/sandbox", `{}`, 400); !strings.Contains(fmt.Sprint(got["message"]), "name another snapshot") {
		t.Errorf("got %v", got)
	}
}

func TestADefaultSnapshotFitsIntoTheDefaultQuota(t *testing.T) {
	c := testConfig(t)
	for _, s := range defaultimage.Defaults {
		if r, q := s.Resources, c.Quota; r.CPU > q.MaxCPU || r.Memory > q.MaxMemory || r.Disk > q.MaxDisk {
			t.Errorf("no sandbox can be made of %s by default", s.Name)
		}
	}
}
