package sandbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/enginetest"
	"github.com/opendaytona/daytona/internal/fault"
)

// poisoned are sandboxes that cannot be recovered as they are, each in its way.
// The first are found out while the server recovers; of the others it is what is
// to be done next that fails.
var poisoned = map[string]struct {
	row     Sandbox
	fault   enginetest.Fault
	breaks  string // what the engine says it could not recover
	noRow   bool   // it cannot be read
	damaged bool   // it can be read in part
	says    string // why it is in error, in time; "" where it is not
	becomes State  // when all is well again
}{
	"inspect fails":  {row: Sandbox{State: StateStarted}, fault: enginetest.Fault{Method: "Inspect", Err: errors.New("no cgroup")}, breaks: "no cgroup", says: "could not be recovered", becomes: StateStarted},
	"inspect hangs":  {row: Sandbox{State: StateStarted}, fault: enginetest.Fault{Method: "Inspect", Hang: true}, breaks: "a process in D state", says: "could not be recovered", becomes: StateStarted},
	"is broken":      {row: Sandbox{State: StateStarted}, breaks: "its firewall rules were refused", says: "its firewall rules were refused", becomes: StateStarted},
	"stopped, hangs": {row: Sandbox{State: StateStopped}, fault: enginetest.Fault{Method: "Inspect", Hang: true}, breaks: "a dead mount", says: "could not be recovered", becomes: StateStopped},
	"row unreadable": {row: Sandbox{State: StateStarted}, noRow: true, becomes: StateStarted},
	"row damaged":    {row: Sandbox{State: StateError, ErrorReason: "The record is damaged"}, damaged: true, says: "damaged", becomes: StateError},

	"start fails":   {row: Sandbox{State: StateStarting}, fault: enginetest.Fault{Method: "Start", Err: errors.New("no namespace")}, says: "no namespace", becomes: StateError},
	"start hangs":   {row: Sandbox{State: StateStarting}, fault: enginetest.Fault{Method: "Start", Hang: true}, becomes: StateStarted},
	"stop fails":    {row: Sandbox{State: StateStopping}, fault: enginetest.Fault{Method: "Stop", Err: errors.New("it resists")}, becomes: StateStopped},
	"stop hangs":    {row: Sandbox{State: StateStopping}, fault: enginetest.Fault{Method: "Stop", Hang: true}, becomes: StateStopped},
	"delete hangs":  {row: Sandbox{State: StateDestroying}, fault: enginetest.Fault{Method: "Delete", Hang: true}},
	"network fails": {row: Sandbox{State: StateStarted, NetworkGeneration: Generation{Wanted: 1}}, fault: enginetest.Fault{Method: "SetNetwork", Err: errors.New("nft")}, becomes: StateStarted},
}

// good are sandboxes with which nothing is wrong.
var good = map[string]struct {
	row     Sandbox
	runs    bool
	becomes State
}{
	"runs":               {Sandbox{State: StateStarted}, true, StateStarted},
	"is stopped":         {Sandbox{State: StateStopped}, false, StateStopped},
	"ended":              {Sandbox{State: StateStarted}, false, StateStopped},
	"is to be started":   {Sandbox{State: StateStarting}, false, StateStarted},
	"is to be stopped":   {Sandbox{State: StateStopping}, true, StateStopped},
	"runs but is not to": {Sandbox{State: StateStopped}, true, StateStopped},
}

const sandboxes = 50

func desired(state State) Desired {
	switch state {
	case StateStopped, StateStopping:
		return DesiredStopped
	case StateDestroying:
		return DesiredDestroyed
	}
	return DesiredStarted
}

// afterRestart is a server that finds all of them.
func afterRestart(t *testing.T) (*world, *Service, *enginetest.Machine) {
	t.Helper()
	m := enginetest.NewMachine()
	e := m.Open()
	t.Cleanup(func() { _ = e.Close() })
	w := newWorld()
	w.bad = map[string]bool{}
	add := func(id string, row Sandbox, runs bool) {
		row.ID, row.Name, row.OrganizationID, row.AutoDelete, row.Desired = id, id, "org", NeverDelete, desired(row.State)
		w.rows[id] = row
		if err := e.Create(t.Context(), engine.Spec{ID: id}); err != nil {
			t.Fatal(err)
		}
		if row.State == StateStarting && !runs {
			return
		}
		if err := e.Start(t.Context(), engine.Spec{ID: id}); err != nil { // in this boot of the machine
			t.Fatal(err)
		}
		if !runs {
			if err := e.Stop(t.Context(), id, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	for id, p := range poisoned {
		p.row.Damaged = p.damaged
		add(id, p.row, p.row.State != StateStopped && p.row.State != StateStarting)
		w.bad[id] = p.noRow
	}
	for len(w.rows) < sandboxes {
		for what, g := range good {
			add(fmt.Sprint(what, " ", len(w.rows)), g.row, g.runs)
		}
	}
	e = m.Open() // as the next server does
	for id, p := range poisoned {
		if p.breaks != "" {
			m.Break(id, p.breaks)
		}
		if p.fault.Method != "" {
			p.fault.ID = id
			m.Inject(p.fault)
		}
	}
	s := w.service(t)
	s.config.Engine = e
	t.Cleanup(func() { _ = e.Close() })
	return w, s, m
}

func TestOnePoisonedSandboxOfFiftyStopsNobodyElse(t *testing.T) {
	for name, list := range map[string]*enginetest.Fault{
		"the engine lists all": nil, "its list fails": {Method: "List", Err: errors.New("busy")}, "its list hangs": {Method: "List", Hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s, m := afterRestart(t)
				if list != nil {
					m.Inject(*list)
				}
				began := time.Now()
				w.run(t, s) // which returns when all were looked at
				if took := time.Since(began); took > observePatience+resumePatience {
					t.Errorf("it took %v", took)
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
				for id, row := range w.all() {
					if p, is := poisoned[id]; is {
						if p.says != "" && (row.State != StateError || !strings.Contains(row.ErrorReason, p.says)) {
							t.Errorf("%s is %s: %q", id, row.State, row.ErrorReason)
						}
						continue
					}
					what := id[:strings.LastIndex(id, " ")]
					if g := good[what]; row.State != g.becomes || row.ErrorReason != "" || m.Runs(id) != (g.becomes == StateStarted) {
						t.Errorf("%s is %s, runs: %t: %q", id, row.State, m.Runs(id), row.ErrorReason)
					}
				}
				// All is well again.
				m.Heal()
				for id := range poisoned {
					m.Break(id, "")
				}
				w.mu.Lock()
				clear(w.bad)
				w.mu.Unlock()
				time.Sleep(3 * time.Minute)
				synctest.Wait()
				for id, p := range poisoned {
					row := w.row(id)
					if row.State != p.becomes || (row.State == StateStarted || p.damaged) != m.Runs(id) || row.NetworkGeneration.pending() {
						t.Errorf("%s is %s in the end, runs: %t, %+v: %q", id, row.State, m.Runs(id), row.NetworkGeneration, row.ErrorReason)
					}
				}
			})
		})
	}
}

func TestWhatHasNotBeenLookedAtIsNeitherGivenAwayNorStoppedNorDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := enginetest.NewMachine()
		e := m.Open()
		t.Cleanup(func() { _ = e.Close() })
		w := newWorld(
			Sandbox{ID: "hangs", State: StateStarted, Desired: DesiredStarted, AutoDelete: NeverDelete},
			Sandbox{ID: "warm", State: StateStarted, Desired: DesiredStarted, WarmPoolID: "pool", AutoDelete: NeverDelete},
			Sandbox{ID: "good", State: StateStarted, Desired: DesiredStarted, AutoDelete: NeverDelete},
		)
		for id := range w.rows {
			if err := errors.Join(e.Create(t.Context(), engine.Spec{ID: id}), e.Start(t.Context(), engine.Spec{ID: id})); err != nil {
				t.Fatal(err)
			}
		}
		m.Inject(enginetest.Fault{Method: "List", Err: errors.New("busy")})
		m.Inject(enginetest.Fault{Method: "Inspect", ID: "hangs", Hang: true})
		m.Inject(enginetest.Fault{Method: "Inspect", ID: "warm", Hang: true})
		s := w.service(t)
		s.config.Engine = e
		ask := func(id string) map[string]error {
			block := true
			_, start := s.Start(t.Context(), "org", id)
			_, stop := s.Stop(t.Context(), "org", id, true)
			_, remove := s.Delete(t.Context(), "org", id)
			_, network := s.SetNetwork(t.Context(), "org", id, NetworkParams{BlockAll: &block})
			one := 1
			_, resize := s.Resize(t.Context(), "org", id, ResizeParams{CPU: &one})
			_, labels := s.SetLabels(t.Context(), "org", id, nil)
			_, fork := s.Fork(t.Context(), "org", id, "")
			return map[string]error{"start": start, "stop": stop, "delete": remove, "network": network, "labels": labels, "fork": fork, "resize": resize}
		}
		refused := func(when string, id string) {
			t.Helper()
			for what, err := range ask(id) {
				f := (*fault.Error)(nil)
				if !errors.As(err, &f) || f.Kind != fault.KindUnavailable || f.RetryAfter <= 0 {
					t.Errorf("%s, %s: %v", when, what, err)
				}
			}
		}
		claim := func() error {
			want := &Sandbox{ID: "want", Name: "want", OrganizationID: "org"}
			var refused error
			w.claims = func(change func(*Sandbox) error) {
				sb := w.row("warm")
				refused = change(&sb)
			}
			_, err := s.claim(t.Context(), want)
			return errors.Join(err, refused)
		}
		refused("before the recovery has begun", "good")
		if err := claim(); !errors.Is(err, ErrUnlike) {
			t.Errorf("before the recovery: %v", err)
		}
		if err := s.Expire(t.Context()); err != nil {
			t.Error(err)
		}
		began := time.Now()
		w.start(t, s)
		time.Sleep(time.Second)
		if _, err := s.Stop(t.Context(), "org", "good", false); err != nil {
			t.Errorf("one that was looked at cannot be stopped: %v", err)
		}
		refused("while the engine hangs", "hangs")
		if err := claim(); !errors.Is(err, ErrUnlike) {
			t.Errorf("while the engine hangs: %v", err)
		}
		if row := w.row("hangs"); row.State != StateStarted || row.Desired != DesiredStarted {
			t.Errorf("it is %s", row.State)
		}
		// A request that comes just before is served.
		stopped := make(chan error, 1)
		time.Sleep(observePatience - requestPatience/2 - time.Since(began))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() { _, err := s.Delete(ctx, "org", "hangs"); stopped <- err }()
		if err := <-stopped; err != nil {
			t.Errorf("a deletion that waited: %v", err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
	})
}

func TestManyThatHangHoldUpAStartForAMinuteOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rows []Sandbox
		for i := range 5 * sandboxesAtOnce {
			rows = append(rows, Sandbox{ID: fmt.Sprint("hangs ", i), State: StateStarted, Desired: DesiredStarted})
		}
		w, s, m := observed(t, rows...)
		m.Inject(enginetest.Fault{Method: "List", Err: errors.New("busy")})
		m.Inject(enginetest.Fault{Method: "Inspect", Hang: true})
		began := time.Now()
		w.run(t, s)
		if took := time.Since(began); took > resumePatience+time.Second {
			t.Errorf("it took %v", took)
		}
		time.Sleep(time.Second)
		refused := 0
		for id := range w.all() {
			if !s.recovery.pending(id) {
				continue
			}
			if _, err := s.Stop(t.Context(), "org", id, true); !fault.Is(err, fault.KindUnavailable) {
				t.Errorf("one that was not looked at: %v", err)
			}
			if refused++; refused == 2 {
				break
			}
		}
		if refused == 0 {
			t.Error("all were looked at")
		}
		m.Heal()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		for id, row := range w.all() {
			if row.State != StateStarted || s.recovery.pending(id) {
				t.Errorf("%s is %s in the end: %q", id, row.State, row.ErrorReason)
				break
			}
		}
	})
}

func TestWhatTheEngineTellsWhileItIsListedCounts(t *testing.T) {
	r := newRecovery()
	r.outdate("ended") // after the list was made, and before it was taken
	r.begin(map[string]*unseen{"ended": {status: &engine.Status{Phase: engine.PhaseRunning}}, "other": {status: &engine.Status{Phase: engine.PhaseRunning}}})
	if st := r.status("ended"); st != nil {
		t.Errorf("the list's %v is believed of a sandbox that has ended since", *st)
	}
	if r.status("other") == nil {
		t.Error("the engine is asked again for one of which it told nothing")
	}
}
