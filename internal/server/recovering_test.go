package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/engine/local"
)

// slowHost is a machine whose engine opens when it is let, or fails.
func slowHost(e *memoryEngine, opens <-chan error) host {
	h := testHost(e)
	h.openEngine = func(ctx context.Context, _ local.Options) (hostEngine, error) {
		select {
		case err := <-opens:
			if err != nil {
				return nil, err
			}
			return e.open(), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return h
}

func TestAServerThatRecoversSaysThatItLivesAndLetsNobodyIn(t *testing.T) {
	opens := make(chan error)
	s, err := newServer(testConfig(t), "test", slowHost(newMemoryEngine(t, http.HandlerFunc(echo)), opens), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ts := &testServer{T: t, server: s, ended: make(chan error, 1)}
	ctx, end := context.WithCancel(t.Context())
	ts.end = end
	go func() { ts.ended <- s.run(ctx) }()
	t.Cleanup(ts.stop)
	at := "http://" + s.http.Address().String()
	if status, text := ts.raw("GET", at+"/api/health", "", ""); status != 200 || !strings.Contains(text, `"ok"`) {
		t.Errorf("while it recovers it says of its health: %d %s", status, text)
	}
	for _, path := range []string{"/api/health/ready", "/api/sandbox", "/toolbox/box/files", "/v2/", "/api/socket.io/?EIO=4&transport=polling"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", at+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := ts.client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s while it recovers: %d, Retry-After %q", path, res.StatusCode, res.Header.Get("Retry-After"))
		}
	}
	opens <- nil
	ts.recovered()
	if status, text := ts.raw("GET", at+"/api/health/ready", "", ""); status != 200 {
		t.Errorf("afterwards it is not ready: %d %s", status, text)
	}
}

func TestAServerThatIsToEndWhileItRecoversEndsAtOnce(t *testing.T) {
	before := len(goroutines())
	s, err := newServer(testConfig(t), "test", slowHost(newMemoryEngine(t, http.HandlerFunc(echo)), nil), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, end)
	began := time.Now()
	if err := s.run(ctx); err != nil {
		t.Errorf("it ended with: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	noMoreGoroutines(t, before)
}

func TestAStartThatFailsEndsTheProcessAndSaysWhy(t *testing.T) {
	opens := make(chan error, 1)
	opens <- errors.New("no btrfs")
	s, err := newServer(testConfig(t), "test", slowHost(newMemoryEngine(t, http.HandlerFunc(echo)), opens), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.run(t.Context()); err == nil || !strings.Contains(err.Error(), "no btrfs") {
		t.Errorf("it ended with: %v", err)
	}
}

func TestAPartThatFailsIsNamedAndRunAgainWhileTheOthersGoOn(t *testing.T) {
	sup := supervisor{log: slog.New(slog.DiscardHandler)}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	runs, failed := make(chan int), make(chan struct{})
	n := 0
	sup.run(ctx, "one", func(ctx context.Context) error {
		n++
		select {
		case runs <- n:
		case <-ctx.Done():
			return nil
		}
		if n == 1 {
			defer close(failed)
			return errors.New("broken")
		}
		<-ctx.Done()
		return nil
	})
	other := make(chan struct{})
	sup.run(ctx, "other", func(ctx context.Context) error { <-ctx.Done(); close(other); return nil })
	<-runs
	<-failed
	for end := time.Now().Add(5 * time.Second); sup.check(ctx) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("readiness never named the part that failed")
		}
	}
	if err := sup.check(ctx); !strings.Contains(err.Error(), "one") || strings.Contains(err.Error(), "other") {
		t.Errorf("readiness says %v", err)
	}
	select {
	case <-other:
		t.Error("the other part has ended too")
	default:
	}
	if got := <-runs; got != 2 {
		t.Errorf("run %d", got)
	}
	if err := sup.check(ctx); err != nil {
		t.Errorf("while it runs again: %v", err)
	}
	end()
	sup.wait()
}
