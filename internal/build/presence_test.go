package build

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/image"
)

// onePlace is a place that others wait for.
type onePlace struct {
	mu     sync.Mutex
	held   bool
	events []string
	left   chan struct{} // gets a value when it is left
}

func newOnePlace() *onePlace { return &onePlace{held: true, left: make(chan struct{}, 100)} }

func (p *onePlace) Leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held {
		p.events = append(p.events, "left")
		p.left <- struct{}{}
	}
	p.held = false
}

func (p *onePlace) Enter(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.held {
		p.events = append(p.events, "entered")
	}
	p.held = true
	return nil
}

// through is a registry that has what busybox has, but for requests that pass
// does not let through at once.
func through(t *testing.T, pass func(w http.ResponseWriter, r *http.Request) bool) (host string) {
	t.Helper()
	to, err := url.Parse(busybox(t))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if pass(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return strings.TrimPrefix(server.URL, "http://")
}

func TestABuildThatWaitsForASilentRegistryGivesItsPlaceToOthers(t *testing.T) {
	silence := func(r *http.Request) bool {
		<-r.Context().Done()
		return false
	}
	silent := through(t, func(_ http.ResponseWriter, r *http.Request) bool { return silence(r) })
	silentBlobs := through(t, func(_ http.ResponseWriter, r *http.Request) bool {
		return !strings.Contains(r.URL.Path, "/blobs/") || r.Method == http.MethodHead || silence(r)
	})
	halfABlob := through(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			return true
		}
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write([]byte("begins"))
		_ = http.NewResponseController(w).Flush()
		return silence(r)
	})
	f := openWith(t, func(o *image.Options) { o.PlainHTTP = []string{silent, silentBlobs, halfABlob} },
		func(o *Options) { o.Steps = reaching{o.Steps, netip.MustParseAddr("127.0.0.1")} })
	for name, from := range map[string]string{
		"at-once": silent + "/library/busybox:1", "at-its-layers": silentBlobs + "/library/busybox:1", "in-a-layer": halfABlob + "/library/busybox:1",
		"in-what-it-adds": "busybox:1\nADD http://" + silent + "/file /",
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			place, ended := newOnePlace(), make(chan error, 1)
			var log buffer
			go func() {
				_, err := f.Build(ctx, Request{ID: name, Owner: "test/" + name, Scope: "slow-" + name, Place: place, Dockerfile: "FROM " + from + "\nRUN true\n", Log: &log})
				ended <- err
			}()
			select {
			case <-place.left:
			case err := <-ended:
				t.Fatalf("it ended: %v\n%s", err, log.String())
			case <-time.After(5 * patience):
				t.Fatalf("it holds its place\n%s", log.String())
			}
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

func TestABuildHasItsPlaceAgainWhenItsStepsRun(t *testing.T) {
	var slept sync.Once
	slow := through(t, func(http.ResponseWriter, *http.Request) bool {
		slept.Do(func() { time.Sleep(patience + time.Second) })
		return true
	})
	f := openWith(t, func(o *image.Options) { o.PlainHTTP = []string{slow} })
	place := newOnePlace()
	var log buffer
	_, err := f.Build(t.Context(), Request{ID: "slow", Owner: "test/slow", Place: place, Dockerfile: "FROM " + slow + "/library/busybox:1\nRUN true\n", Log: &log})
	if err != nil || !slices.Equal(place.events, []string{"left", "entered"}) {
		t.Errorf("%v, %v\n%s", place.events, err, log.String())
	}
}
