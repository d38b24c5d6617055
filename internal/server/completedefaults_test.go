package server

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	recipes "github.com/opendaytona/daytona/images"
	"github.com/opendaytona/daytona/internal/defaultimage"
	"github.com/opendaytona/daytona/internal/servercmd"
)

// autoMachine is one on which nothing but the fake Debian is reachable, and full
// is built as the Dockerfile says that full returns.
func autoMachine(t *testing.T, full func() string) host {
	b := newBuildable(t)
	b.results <- nil
	m := b.machine(newMemoryEngine(t, http.HandlerFunc(echo)))
	m.images.HubImage = "127.0.0.1:1/library/none:1"
	m.images.CompletePause = time.Hour
	whole := m.images.Recipe.Dockerfile
	m.images.Recipe.Dockerfile = func(variant, base string) string {
		if variant == recipes.Full {
			return full() + "LABEL base=" + base + "\n"
		}
		return whole(variant, base)
	}
	return m
}

const ownBase = "FROM daytona.internal/base:1\n"

func (ts *testServer) small() (image, update string) {
	s := ts.call("GET", "/api/snapshots/daytona-small", "", 200)
	if u, ok := s["update"].(map[string]any); ok {
		update = fmt.Sprintf("%v %v", u["imageName"], u["state"])
	}
	return fmt.Sprint(s["imageName"]), update
}

func (ts *testServer) allOf(image string) func() bool {
	return func() bool {
		return ts.states() == allActive && !slices.ContainsFunc(defaultimage.Defaults, func(d defaultimage.Default) bool {
			s := ts.call("GET", "/api/snapshots/"+d.Name, "", 200)
			return s["imageName"] != image || s["update"] != nil
		})
	}
}

func TestTheDefaultSnapshotsBecomeFullByThemselvesAndServeMeanwhile(t *testing.T) {
	goOn := make(chan struct{})
	var builds atomic.Int32
	m := autoMachine(t, func() string { builds.Add(1); <-goOn; return ownBase })
	s := start(t, testConfig(t, "--default-image", "auto", "--plain-http", "127.0.0.1:1"), m)
	s.eventually("slim is there, and full is being built", func() bool {
		image, update := s.small()
		return image == "daytona.internal/slim:1" && update == "daytona.internal/full:1 pulling"
	})
	s.eventually("all are active", func() bool { return s.states() == allActive })
	if got := s.call("POST", "/api/sandbox", `{"name":"box"}`, 200); got["state"] != "started" {
		t.Errorf("while full is built a sandbox is %v", got["state"])
	}
	close(goOn)
	s.eventually("all are full", s.allOf("daytona.internal/full:1"))
	if got := s.call("POST", "/api/sandbox", `{"name":"box2"}`, 200); got["state"] != "started" {
		t.Errorf("afterwards a sandbox is %v", got["state"])
	}
	s.stop()
	again := start(t, s.Config, m)
	if err := again.defaults.CompleteNext(t.Context(), true); err != nil {
		t.Error(err)
	}
	if image, update := again.small(); image != "daytona.internal/full:1" || update != "" {
		t.Errorf("after a restart it is %s, %s", image, update)
	}
}

func TestAFullImageThatCannotBeBuiltIsTriedAgainOnceAtATime(t *testing.T) {
	var builds atomic.Int32
	m := autoMachine(t, func() string {
		if builds.Add(1) == 1 {
			return "FROM 127.0.0.1:1/library/none:1\n"
		}
		return ownBase
	})
	m.images.CompletePause = 300 * time.Millisecond
	s := start(t, testConfig(t, "--default-image", "auto", "--plain-http", "127.0.0.1:1"), m)
	s.eventually("the attempt has failed", func() bool {
		image, update := s.small()
		return image == "daytona.internal/slim:1" && update == "daytona.internal/full:1 error"
	})
	if n := builds.Load(); n != 1 {
		t.Errorf("it was built %d times before the pause", n)
	}
	s.eventually("all are full", s.allOf("daytona.internal/full:1"))
}

// slimServer has slim default snapshots, and the test is who completes them.
func slimServer(t *testing.T) *testServer {
	s := start(t, testConfig(t, "--default-image", "slim", "--plain-http", "127.0.0.1:1"), autoMachine(t, func() string { return ownBase }))
	s.eventually("all are slim", s.allOf("daytona.internal/slim:1"))
	return s
}

func TestTheDefaultSnapshotsStaySlimWhereDiskSpaceLacks(t *testing.T) {
	s := slimServer(t)
	s.defaultImage.FullNeeds = math.MaxInt64 / 2
	if err := s.defaults.CompleteNext(t.Context(), true); err == nil || !strings.Contains(err.Error(), "GiB of disk space") {
		t.Errorf("without disk space: %v", err)
	}
	if !s.allOf("daytona.internal/slim:1")() {
		t.Error("full is being built")
	}
	// The first one takes the space; the others find the image.
	s.defaultImage.FullNeeds = 0
	for range defaultimage.Defaults {
		if err := s.defaults.CompleteNext(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		s.eventually("it is done", func() bool {
			return !slices.ContainsFunc(defaultimage.Defaults, func(d defaultimage.Default) bool {
				return s.call("GET", "/api/snapshots/"+d.Name, "", 200)["update"] != nil
			})
		})
		s.defaultImage.FullNeeds = math.MaxInt64 / 2
	}
	s.eventually("all are full", s.allOf("daytona.internal/full:1"))
}

func TestTheDefaultSnapshotsStaySlimWhereThatWasAskedFor(t *testing.T) {
	s := slimServer(t)
	if err := defaultimage.ChooseVariant(s.DataDir, recipes.Slim); err != nil {
		t.Fatal(err)
	}
	if err := s.defaults.CompleteNext(t.Context(), true); err != nil || !s.allOf("daytona.internal/slim:1")() {
		t.Errorf("where slim was asked for: %v", err)
	}
	if err := defaultimage.ChooseVariant(s.DataDir, recipes.Full); err != nil {
		t.Fatal(err)
	}
	if err := s.defaults.CompleteNext(t.Context(), true); err != nil {
		t.Error(err)
	}
	s.eventually("it is being made full", func() bool { image, update := s.small(); return image+update != "daytona.internal/slim:1" })
}

func TestSharedSnapshotsAreDeletedByNameAloneAndMadeAgainByOneCommand(t *testing.T) {
	m := autoMachine(t, func() string { return ownBase })
	s := start(t, testConfig(t, "--default-image", "full", "--plain-http", "127.0.0.1:1"), m)
	s.eventually("all are full", s.allOf("daytona.internal/full:1"))
	for _, d := range defaultimage.Defaults {
		id := s.call("GET", "/api/snapshots/"+d.Name, "", 200)["id"]
		refused := s.call("DELETE", fmt.Sprint("/api/snapshots/", id), "", 403)
		if message := fmt.Sprint(refused["message"]); !strings.Contains(message, "daytona snapshot delete "+d.Name) {
			t.Errorf("the refusal does not say how: %s", message)
		}
	}
	if got := s.states(); got != allActive {
		t.Errorf("after deleting by id: %s", got)
	}
	s.call("DELETE", "/api/snapshots/daytona-small", "", 200)
	s.call("DELETE", "/api/snapshots/daytona-large", "", 200)
	s.eventually("they are gone", func() bool { return s.states() == "daytona-medium active 2/4/8" })
	if err := servercmd.BuildImages(t.Context(), s.Config, m.images, "", io.Discard); err != nil {
		t.Fatal(err)
	}
	s.eventually("all are there, as they were", s.allOf("daytona.internal/full:1"))
}
