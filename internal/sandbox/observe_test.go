package sandbox

import (
	"errors"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/enginetest"
)

// observed is a service whose sandboxes run on a machine in memory, started as
// their rows say.
func observed(t *testing.T, rows ...Sandbox) (*world, *Service, *enginetest.Machine) {
	t.Helper()
	for i := range rows {
		rows[i].AutoDelete = NeverDelete
	}
	w := newWorld(rows...)
	m := enginetest.NewMachine()
	e := m.Open()
	for _, sb := range rows {
		if err := e.Create(t.Context(), engine.Spec{ID: sb.ID}); err != nil {
			t.Fatal(err)
		}
		if sb.State == StateStarted {
			if err := e.Start(t.Context(), engine.Spec{ID: sb.ID}); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := w.service(t)
	s.config.Engine = e
	t.Cleanup(func() { e.Close() })
	return w, s, m
}

func TestASandboxThatEndsByItselfIsStoppedAndSaysWhy(t *testing.T) {
	w, s, m := observed(t,
		Sandbox{ID: "exit", State: StateStarted}, Sandbox{ID: "memory", State: StateStarted, Resources: Resources{Memory: 2}},
		Sandbox{ID: "disks", State: StateStarted}, Sandbox{ID: "other", State: StateStarted},
	)
	w.run(t, s)
	ends := map[string]engine.Exit{"exit": {}, "memory": {OOMKilled: true}, "disks": {PoolFailed: true}}
	for id, exit := range ends {
		if !m.EndOne(id, exit) {
			t.Fatalf("%s does not run", id)
		}
	}
	for id, says := range map[string]string{"exit": "", "memory": "ran out of memory (2 GiB)", "disks": "disks of this server failed"} {
		eventually(t, id+" is stopped", func() bool { return w.row(id).State == StateStopped })
		if got := w.row(id).ErrorReason; !strings.Contains(got, says) || says == "" && got != "" {
			t.Errorf("%s says %q", id, got)
		}
	}
	if got := w.row("other").State; got != StateStarted {
		t.Errorf("another one is %s", got)
	}
}

func TestASandboxThatTheEngineCannotRecoverIsInErrorUntilItCan(t *testing.T) {
	w, s, m := observed(t,
		Sandbox{ID: "broken", State: StateStarted, Desired: DesiredStarted}, Sandbox{ID: "later", State: StateStarted, Desired: DesiredStarted},
		Sandbox{ID: "stopped", State: StateStopped, Desired: DesiredStopped}, Sandbox{ID: "other", State: StateStarted, Desired: DesiredStarted},
	)
	m.Break("broken", "a process does not end")
	w.run(t, s)
	if got := w.row("broken"); got.State != StateError || !strings.Contains(got.ErrorReason, "a process does not end") {
		t.Errorf("it is %s: %q", got.State, got.ErrorReason)
	}
	m.Break("later", "its firewall rules were refused")
	m.Break("stopped", "its record is corrupt")
	eventually(t, "one that breaks later is in error", func() bool { return w.row("later").State == StateError })
	for _, id := range []string{"broken", "later", "stopped"} {
		m.Break(id, "")
	}
	for id, want := range map[string]State{"broken": StateStarted, "later": StateStarted, "stopped": StateStopped, "other": StateStarted} {
		eventually(t, id+" is "+string(want), func() bool { return w.row(id).State == want })
		if reason := w.row(id).ErrorReason; reason != "" {
			t.Errorf("%s says %q", id, reason)
		}
	}
	for _, id := range []string{"broken", "later", "other"} {
		if !m.Runs(id) {
			t.Errorf("%s was ended", id)
		}
	}
}

func TestAnExitIsNotMissedWhileTheEngineDoesNotAnswer(t *testing.T) {
	w, s, m := observed(t, Sandbox{ID: "a", State: StateStarted})
	m.Inject(enginetest.Fault{Method: "Inspect", Times: 1, Err: errors.New("busy")})
	w.run(t, s)
	m.EndOne("a", engine.Exit{})
	eventually(t, "it is stopped", func() bool { return w.row("a").State == StateStopped })
}
