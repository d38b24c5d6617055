//go:build linux

package daytona_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/testserver"
	daytona "github.com/opendaytona/daytona/sdk"
)

func connect(t *testing.T) (*daytona.Client, *testserver.Server) {
	t.Helper()
	s := testserver.Start(t)
	c, err := daytona.NewClientWithConfig(daytona.Config{APIKey: s.Key, APIURL: s.APIURL})
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// started is a sandbox that runs, and what it stands on.
func started(t *testing.T) (*daytona.Sandbox, *daytona.Client, *testserver.Server) {
	t.Helper()
	c, s := connect(t)
	if _, err := c.Snapshot.Create(t.Context(), daytona.CreateSnapshotParams{Name: "default", Image: "debian:12.9"}, nil); err != nil {
		t.Fatal(err)
	}
	sb, err := c.Create(t.Context(), daytona.CreateParams{Name: "box", Env: map[string]string{"GREETING": "hello"}})
	if err != nil {
		t.Fatal(err)
	}
	return sb, c, s
}

func wants(t *testing.T, what string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: %v, want %v", what, err, kind)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestASandboxLivesAndEnds(t *testing.T) {
	sb, c, _ := started(t)
	ctx := t.Context()
	if sb.State != api.SandboxStarted || sb.Name != "box" || sb.Snapshot != "default" {
		t.Errorf("made %+v", sb.SandboxSummary)
	}
	ok(t, sb.SetLabels(ctx, map[string]string{"a": "b"}))
	ok(t, sb.SetAutostopInterval(ctx, 30))
	ok(t, sb.SetAutoArchiveInterval(ctx, 60))
	ok(t, sb.SetAutoDeleteInterval(ctx, 90))
	ok(t, sb.RefreshActivity(ctx))
	again, err := c.Get(ctx, "box")
	ok(t, err)
	if again.ID != sb.ID || again.Labels["a"] != "b" || again.AutoStopInterval != 30 || again.AutoArchiveInterval != 60 || again.AutoDeleteInterval != 90 || again.Env["GREETING"] != "hello" {
		t.Errorf("got %+v", again.Sandbox)
	}
	ok(t, sb.Stop(ctx))
	if sb.State != api.SandboxStopped {
		t.Errorf("after Stop it is %s", sb.State)
	}
	_, err = sb.Process.ExecuteCommand(ctx, "true", daytona.ExecuteOptions{})
	wants(t, "a command in a stopped sandbox", err, daytona.ErrConflict)
	ok(t, sb.Start(ctx))
	ok(t, again.WaitUntilStarted(ctx))
	ok(t, sb.Delete(ctx))
	ok(t, sb.WaitUntilDeleted(ctx))
	_, err = c.Get(ctx, "box")
	wants(t, "a deleted sandbox", err, daytona.ErrNotFound)
	wants(t, "deleting it again", c.Delete(ctx, "box"), daytona.ErrNotFound)
	wants(t, "waiting for it", again.WaitUntilStarted(ctx), nil) // as it was last seen
	ok(t, again.WaitUntilStopped(ctx))
}

func TestAnEphemeralSandboxGoesWhenItStops(t *testing.T) {
	_, c, _ := started(t)
	sb, err := c.Create(t.Context(), daytona.CreateParams{Ephemeral: true})
	ok(t, err)
	ok(t, sb.Stop(t.Context()))
	ok(t, sb.WaitUntilDeleted(t.Context()))
}

func TestListYieldsEverySandboxOnceOverPages(t *testing.T) {
	_, c, _ := started(t)
	ctx := t.Context()
	var want []string
	for i := range 5 {
		sb, err := c.Create(ctx, daytona.CreateParams{Name: fmt.Sprintf("many-%d", i), Labels: map[string]string{"n": "many"}})
		ok(t, err)
		want = append(want, sb.Name)
	}
	slices.Reverse(want) // the newest first
	var got []string
	for sb, err := range c.List(ctx, daytona.ListParams{Labels: map[string]string{"n": "many"}, Name: "many", States: []api.SandboxState{api.SandboxStarted}, Limit: 2}) {
		ok(t, err)
		got = append(got, sb.Name)
		if _, err := sb.GetWorkDir(ctx); err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
	for range c.List(ctx, daytona.ListParams{Limit: 1}) {
		break
	}
	n := 0
	for _, err := range c.List(ctx, daytona.ListParams{Limit: 100000}) {
		n++
		wants(t, "a page too large", err, daytona.ErrInvalid)
	}
	if n != 1 {
		t.Errorf("an error came with %d more", n-1)
	}
}

func TestErrorsTellWhatIsWrong(t *testing.T) {
	_, c, s := started(t)
	ctx := t.Context()
	wrong, err := daytona.NewClientWithConfig(daytona.Config{APIKey: "dtn_wrong", APIURL: s.APIURL})
	ok(t, err)
	_, err = wrong.Get(ctx, "box")
	wants(t, "a wrong key", err, daytona.ErrUnauthorized)
	var e *daytona.Error
	if !errors.As(err, &e) || e.StatusCode != 401 || e.Code == "" || e.Message == "" || e.Source != "DAYTONA_API" || e.Method != "GET" || e.URL != "/api/sandbox/box" {
		t.Errorf("got %+v", e)
	}
	_, err = c.Create(ctx, daytona.CreateParams{Name: "box"})
	wants(t, "a taken name", err, daytona.ErrConflict)
	_, err = c.Create(ctx, daytona.CreateParams{Snapshot: "none"})
	wants(t, "an unknown snapshot", err, daytona.ErrNotFound)
	_, err = c.Create(ctx, daytona.CreateParams{Ephemeral: true, AutoDeleteInterval: new(5)})
	wants(t, "a contradiction", err, daytona.ErrInvalid)
	_, err = daytona.NewClientWithConfig(daytona.Config{})
	wants(t, "no key", err, daytona.ErrUnauthorized)
	for _, url := range []string{"127.0.0.1:1/api", "ftp://x/api", "http://"} {
		_, err = daytona.NewClientWithConfig(daytona.Config{APIKey: "k", APIURL: url})
		wants(t, url, err, daytona.ErrInvalid)
	}
	nobody, err := daytona.NewClientWithConfig(daytona.Config{APIKey: "k", APIURL: "http://127.0.0.1:1/api"})
	ok(t, err)
	_, err = nobody.Get(ctx, "box")
	wants(t, "nobody there", err, daytona.ErrUnreachable)
	if !strings.Contains(fmt.Sprint(err), "http://127.0.0.1:1/api") {
		t.Errorf("%v does not say where", err)
	}
}

func TestAnotherSiteIsNotTakenForTheAPI(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"a page":     func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"nothing":    func(http.ResponseWriter, *http.Request) {},
		"not found":  http.NotFound,
		"other JSON": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `[1]`) },
	} {
		site := httptest.NewServer(answer)
		c, err := daytona.NewClientWithConfig(daytona.Config{APIKey: "k", APIURL: site.URL})
		ok(t, err)
		if _, err = c.Get(t.Context(), "box"); err == nil || !strings.Contains(err.Error(), "/api") {
			t.Errorf("%s: %v", name, err)
		}
		site.Close()
	}
}

func TestAWaitEndsWithItsContextAndWithTheState(t *testing.T) {
	_, c, s := started(t)
	release := s.Images.HoldPulls()
	defer release()
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	snapshot, err := c.Snapshot.Create(ctx, daytona.CreateSnapshotParams{Name: "slow", Image: "slow:1"}, func(string) {})
	wants(t, "a wait for too long", err, context.DeadlineExceeded)
	if snapshot == nil || snapshot.State != api.SnapshotPulling {
		t.Errorf("came with %+v", snapshot)
	}
	done := make(chan error, 1)
	go func() {
		// By now the snapshot is being pulled, and so is the sandbox.
		_, err := c.Create(t.Context(), daytona.CreateParams{Snapshot: "slow"})
		done <- err
	}()
	time.Sleep(100 * time.Millisecond)
	s.Machine.FailStarts(errors.New("the disk is on fire"))
	release()
	var e *daytona.StateError
	if err := <-done; !errors.As(err, &e) || e.State != "error" || e.Reason == "" || e.Noun != "Sandbox" {
		t.Errorf("got %v", err)
	}
}

func TestAStartThatFailsIsAStateError(t *testing.T) {
	box, c, s := started(t)
	s.Machine.FailStarts(errors.New("the disk is on fire"))
	failed := func(what string, got *daytona.Sandbox, err error) {
		t.Helper()
		e, isState := errors.AsType[*daytona.StateError](err)
		if !isState || e.Noun != "Sandbox" || e.State != "error" || !strings.Contains(e.Reason, "the disk is on fire") || strings.Contains(e.Reason, "failed to start") {
			t.Fatalf("%s: %#v", what, err)
		}
		if got == nil || got.ID == "" || got.State != api.SandboxError || e.Name != got.Name {
			t.Fatalf("%s: %v came with %+v", what, err, got)
		}
	}
	made, err := c.Create(t.Context(), daytona.CreateParams{})
	failed("a create", made, err)
	ok(t, made.Delete(t.Context()))
	fork, err := box.Fork(t.Context(), "other")
	failed("a fork", fork, err)
	if fork.ID == box.ID || fork.Name != "other" {
		t.Errorf("the fork is %+v", fork.Sandbox)
	}
	ok(t, box.Stop(t.Context()))
	failed("a start", box, box.Start(t.Context()))
	s.Machine.FailStarts(nil)
	ok(t, box.Start(t.Context()))
}
