package enginetest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opendaytona/daytona/internal/engine"
)

var errDisk = errors.New("the disk is on fire")

func TestAFaultComesOverTheCallsThatItIsFor(t *testing.T) {
	m := NewMachine()
	e := m.Open()
	defer e.Close()
	for _, id := range []string{"a", "b"} {
		if err := e.Create(t.Context(), engine.Spec{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	m.Inject(Fault{Method: "Start", ID: "a", Times: 2, Err: errDisk})
	for i, want := range []error{errDisk, errDisk, nil} {
		if err := e.Start(t.Context(), engine.Spec{ID: "a"}); !errors.Is(err, want) {
			t.Errorf("start %d: %v, want %v", i, err, want)
		}
		if m.Runs("a") != (want == nil) {
			t.Errorf("after start %d: runs %t", i, m.Runs("a"))
		}
	}
	if err := e.Start(t.Context(), engine.Spec{ID: "b"}); err != nil {
		t.Errorf("another one's start: %v", err)
	}
	if n := m.Called("Start", "a"); n != 3 {
		t.Errorf("%d calls were counted", n)
	}
	remove := m.Inject(Fault{Method: "Stop", Err: errDisk, After: true})
	if err := e.Stop(t.Context(), "a", 0); !errors.Is(err, errDisk) || m.Runs("a") {
		t.Errorf("a stop whose answer is lost: %v, runs %t", err, m.Runs("a"))
	}
	remove()
	if err := e.Stop(t.Context(), "a", 0); err != nil {
		t.Error(err)
	}
}

func TestACallHangsUntilItsContextItsFaultOrItsEngineEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMachine()
		e := m.Open()
		if err := e.Create(t.Context(), engine.Spec{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		remove := m.Inject(Fault{Method: "Start", Hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if err := e.Start(ctx, engine.Spec{ID: "a"}); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("with a context: %v after %s", err, time.Since(began))
		}
		start := func() chan error {
			done := make(chan error, 1)
			go func() { done <- e.Start(context.WithoutCancel(t.Context()), engine.Spec{ID: "a"}) }()
			synctest.Wait()
			if m.Runs("a") {
				t.Error("it does not hang")
			}
			return done
		}
		done := start()
		// Others of the same sandbox wait, and can be cancelled.
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := e.Stop(ctx, "a", 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a stop beside it: %v", err)
		}
		if remove(); <-done != nil || !m.Runs("a") {
			t.Errorf("without the fault: runs %t", m.Runs("a"))
		}
		if err := e.Stop(t.Context(), "a", 0); err != nil {
			t.Fatal(err)
		}
		m.Inject(Fault{Method: "Start", Hang: true})
		done = start()
		m.Reboot()
		if err := <-done; !errors.Is(err, errClosed) {
			t.Errorf("with the engine's end: %v", err)
		}
	})
}

func TestADelayedCallTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMachine()
		e := m.Open()
		defer e.Close()
		m.Inject(Fault{Delay: time.Second})
		began := time.Now()
		if _, err := e.List(t.Context()); err != nil || time.Since(began) != time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

func TestWhatRunsOutlivesItsEngineButNotTheMachine(t *testing.T) {
	m := NewMachine()
	killed := m.Open()
	for _, id := range []string{"a", "b"} {
		if err := errors.Join(killed.Create(t.Context(), engine.Spec{ID: id}), killed.Start(t.Context(), engine.Spec{ID: id})); err != nil {
			t.Fatal(err)
		}
	}
	next := m.Open()
	if err := killed.Stop(t.Context(), "a", 0); err == nil || !m.Runs("a") {
		t.Errorf("an engine whose server was killed stops a sandbox: %v", err)
	}
	m.EndOne("b", engine.Exit{OOMKilled: true})
	if st, err := next.Inspect(t.Context(), "b"); err != nil || st.Phase != engine.PhaseStopped || !st.Booted || st.Exit == nil || !st.Exit.OOMKilled {
		t.Errorf("one that ended: %+v, %v", st, err)
	}
	m.Reboot()
	last := m.Open()
	defer last.Close()
	if st, err := last.Inspect(t.Context(), "a"); err != nil || st.Phase != engine.PhaseStopped || st.Booted || st.Exit != nil {
		t.Errorf("after a reboot: %+v, %v", st, err)
	}
}

func TestAnAgentAnswersOnEveryConnection(t *testing.T) {
	m := NewMachine()
	m.Agent = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "agent "+r.URL.Path) })
	e := m.Open()
	if err := errors.Join(e.Create(t.Context(), engine.Spec{ID: "a"}), e.Start(t.Context(), engine.Spec{ID: "a"})); err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return e.Dial(ctx, "a") }}}
	res, err := client.Get("http://agent/x")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "agent /x" {
		t.Errorf("got %q, %v", b, err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Get("http://agent/y"); err == nil {
		t.Error("a closed engine has agents")
	}
}
