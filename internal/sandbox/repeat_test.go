package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/watch"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/secretbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// world is the store, the engine and the snapshots of a service, any step of
// which can fail.
type world struct {
	Store
	Limits

	mu      sync.Mutex
	rows    map[string]Sandbox
	fails   map[string]int // how many more times, by step
	done    []string       // steps that did not fail
	touched map[string]time.Time
	block   chan struct{}   // holds SetNetwork
	bad     map[string]bool // rows that cannot be read by id

	claims func(change func(*Sandbox) error) // what a claim finds
	phase  map[string]engine.Status
}

var errBusy = errors.New("the database is busy")

func newWorld(rows ...Sandbox) *world {
	w := &world{rows: map[string]Sandbox{}, fails: map[string]int{}, touched: map[string]time.Time{}, phase: map[string]engine.Status{}}
	for _, sb := range rows {
		sb.OrganizationID, sb.Name = "org", sb.ID
		w.rows[sb.ID] = sb
		w.phase[sb.ID] = engine.Status{ID: sb.ID, Phase: engine.PhaseRunning, Booted: true}
	}
	return w
}

// step says what is done, and fails when that is to.
func (w *world) step(format string, args ...any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := fmt.Sprintf(format, args...)
	if w.fails[s] > 0 {
		w.fails[s]--
		return errBusy
	}
	w.done = append(w.done, s)
	return nil
}

func (w *world) did(s string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.done, s)
}

func (w *world) row(id string) Sandbox {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rows[id]
}

func (w *world) Sandbox(_ context.Context, id string) (*Sandbox, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sb, ok := w.rows[id]
	if !ok {
		return nil, fault.NotFound("SANDBOX_NOT_FOUND", id)
	}
	if w.bad[id] {
		return nil, errBusy
	}
	return &sb, nil
}

func (w *world) FindSandbox(ctx context.Context, _, id string) (*Sandbox, error) {
	return w.Sandbox(ctx, id)
}

func (w *world) UpdateSandbox(ctx context.Context, id string, change func(*Sandbox) error) (*Sandbox, error) {
	if err := w.step("update %s", id); err != nil {
		return nil, err
	}
	sb, err := w.Sandbox(ctx, id)
	if err == nil {
		err = change(sb)
	}
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rows[id] = *sb
	return sb, nil
}

func (w *world) ClaimSandbox(_ context.Context, _ *Sandbox, change func(*Sandbox) error) (*Sandbox, error) {
	w.claims(change)
	return nil, nil
}

// all are the rows.
func (w *world) all() map[string]Sandbox {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.rows)
}

func (w *world) DeleteSandbox(_ context.Context, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.rows, id)
	return nil
}

func (w *world) AllSandboxes(context.Context) (all []*Sandbox, _ error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, sb := range w.rows {
		all = append(all, &sb)
	}
	return all, nil
}

func (w *world) DueSandboxes(ctx context.Context, now time.Time) ([]*Sandbox, error) {
	all, err := w.AllSandboxes(ctx)
	return slices.DeleteFunc(all, func(sb *Sandbox) bool { return sb.Due(now) == "" }), err
}

func (w *world) SandboxesOfSnapshot(ctx context.Context, id string, states ...State) ([]*Sandbox, error) {
	if err := w.step("find those of %s", id); err != nil {
		return nil, err
	}
	all, err := w.AllSandboxes(ctx)
	return slices.DeleteFunc(all, func(sb *Sandbox) bool { return sb.SnapshotID != id || !slices.Contains(states, sb.State) }), err
}

func (w *world) TouchSandboxes(_ context.Context, at map[string]time.Time) error {
	if err := w.step("touch"); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, t := range at {
		w.touched[id] = t
	}
	return nil
}

func (w *world) works(is func(Sandbox) bool) (work []Work, _ error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, sb := range w.rows {
		if is(sb) {
			work = append(work, Work{sb.ID, sb.OrganizationID, sb.NetworkGeneration.pending(), sb.SizeGeneration.pending()})
		}
	}
	return work, nil
}

func (w *world) UnsettledSandboxes(context.Context) ([]Work, error) {
	return w.works(func(sb Sandbox) bool { return !sb.State.Settled() })
}

func (w *world) StartedSandboxes(context.Context) ([]Work, error) {
	return w.works(func(sb Sandbox) bool { return sb.State == StateStarted })
}

func (w *world) UnappliedSandboxes(context.Context) ([]Work, error) {
	return w.works(func(sb Sandbox) bool { return sb.NetworkGeneration.pending() || sb.SizeGeneration.pending() })
}

func (w *world) WarmPools(context.Context, string) ([]*WarmPool, error) { return nil, nil }

type theEngine struct {
	engine.Engine
	*world
}

func (w theEngine) List(context.Context) (all []engine.Status, _ error) {
	for _, st := range w.phase {
		all = append(all, st)
	}
	return all, nil
}

func (w theEngine) Inspect(_ context.Context, id string) (engine.Status, error) {
	st, ok := w.phase[id]
	if !ok {
		return st, engine.ErrNotFound
	}
	return st, nil
}

func (w theEngine) Start(_ context.Context, s engine.Spec) error    { return w.step("start %s", s.ID) }
func (w theEngine) Create(_ context.Context, s engine.Spec) error   { return w.step("create %s", s.ID) }
func (w theEngine) SetRecord(context.Context, string, []byte) error { return nil }
func (w theEngine) Watch(ctx context.Context) <-chan engine.Event   { return new(watch.Hub).Watch(ctx) }
func (w *world) SandboxCreated(*Sandbox)                            {}
func (w *world) SandboxStateChanged(*Sandbox, State)                {}
func (w *world) SandboxDesiredStateChanged(*Sandbox, Desired)       {}
func (w theEngine) Delete(_ context.Context, id string) error       { return w.step("delete %s", id) }

func (w theEngine) Resize(_ context.Context, id string, _ engine.Resources) error {
	return w.step("resize %s", id)
}

func (w theEngine) Stop(_ context.Context, id string, _ time.Duration) error {
	return w.step("stop %s", id)
}

func (w theEngine) SetNetwork(ctx context.Context, id string, n engine.Network) error {
	if w.block != nil {
		select {
		case <-w.block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return w.step("network %s %t", id, n.BlockAll)
}

type theSnapshots struct {
	Snapshots
	*world
}

func (s theSnapshots) OnMoved(func(*snapshot.Snapshot)) {}
func (s theSnapshots) FreeImage(d string)               { _ = s.step("free %s", d) }
func (s theSnapshots) Get(context.Context, string, string) (*snapshot.Snapshot, error) {
	return &snapshot.Snapshot{ID: "snap", Name: "snap", Content: snapshot.Content{State: snapshot.StateActive}}, nil
}

func (w *world) service(t *testing.T) *Service {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	return NewService(Config{
		Controller: controller.New(controller.Options{Log: log}), Secrets: secretbox.NewKey(),
		Store: w, Engine: theEngine{world: w}, Snapshots: theSnapshots{world: w}, Limits: w, Events: w,
		Clock: clock.RealClock{}, Log: log, StopGrace: time.Second,
	})
}

// recovered is a service that does not run, and has nothing to recover.
func (w *world) recovered(t *testing.T) *Service {
	s := w.service(t)
	s.recovery.begin(nil)
	return s
}

// run runs the service until the end of the test, and returns when it has
// recovered.
func (w *world) run(t *testing.T, s *Service) {
	t.Helper()
	w.start(t, s)
	if err := s.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (w *world) start(t *testing.T, s *Service) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	for _, run := range []func(context.Context) error{s.config.Controller.Run, s.Run} {
		go func() { ended <- run(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		for range cap(ended) {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestASandboxThatCannotBeSquaredHoldsUpNoOther(t *testing.T) {
	once := Generation{Wanted: 1}
	w := newWorld(
		Sandbox{ID: "a", State: StateStarted, Network: Network{BlockAll: true}, NetworkGeneration: once, SizeGeneration: once},
		Sandbox{ID: "b", State: StateStarted, NetworkGeneration: once, SizeGeneration: once}, Sandbox{ID: "c", State: StateStopped, AutoDelete: NeverDelete},
	)
	w.fails = map[string]int{"network a true": 2, "stop c": 2}
	s := w.service(t)
	w.run(t, s)
	for _, step := range []string{"network b false", "resize b", "network a true", "resize a", "stop c"} {
		eventually(t, step, func() bool { return w.did(step) })
	}
	for _, id := range []string{"a", "b"} {
		eventually(t, id+" is as wanted", func() bool {
			sb := w.row(id)
			return sb.NetworkGeneration == Generation{1, 1} && sb.SizeGeneration == Generation{1, 1}
		})
	}
}

func TestResumeLeavesNoRowThatSaysStartedWithoutAProcess(t *testing.T) {
	w := newWorld(
		Sandbox{ID: "rebooted", State: StateStarted}, Sandbox{ID: "ended", State: StateStarted, AutoDelete: NeverDelete}, Sandbox{ID: "lost", State: StateStarted},
		Sandbox{ID: "warm", State: StateStarted, WarmPoolID: "pool"}, Sandbox{ID: "deleted", State: StateDestroying, Desired: DesiredDestroyed},
	)
	w.phase = map[string]engine.Status{
		"rebooted": {ID: "rebooted", Phase: engine.PhaseStopped}, "ended": {ID: "ended", Phase: engine.PhaseStopped, Booted: true},
		"warm": {ID: "warm", Phase: engine.PhaseStopped}, "deleted": {ID: "deleted", Phase: engine.PhaseStopped},
	}
	w.fails = map[string]int{"create rebooted": 1, "delete warm": 100, "delete deleted": 100}
	w.run(t, w.service(t))
	eventually(t, "rebooted was started again", func() bool { return w.row("rebooted").State == StateError }) // which failed
	for id, want := range map[string]State{"ended": StateStopped, "lost": StateError, "warm": StateDestroying, "deleted": StateDestroying} {
		if got := w.row(id).State; got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
}

func TestANetworkPolicyIsInForceBeforeTheAnswerOrFailsAndIsTriedAgain(t *testing.T) {
	block := true
	w := newWorld(Sandbox{ID: "a", State: StateStarted})
	s := w.service(t)
	w.run(t, s)
	w.fails["network a true"] = 2
	_, err := s.SetNetwork(t.Context(), "org", "a", NetworkParams{BlockAll: &block})
	if !fault.Is(err, fault.KindUnavailable) || w.did("network a true") {
		t.Fatalf("got %v", err)
	}
	eventually(t, "it is in force", func() bool { return w.did("network a true") })

	// A client that gives up does not keep it from being made.
	block = false
	w.block = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		_, err := s.SetNetwork(ctx, "org", "a", NetworkParams{BlockAll: &block})
		answered <- err
	}()
	eventually(t, "it is written", func() bool { return !w.row("a").Network.BlockAll })
	cancel()
	if err := <-answered; !errors.Is(err, context.Canceled) {
		t.Errorf("with a client that gave up: %v", err)
	}
	close(w.block)
	eventually(t, "it is in force", func() bool { return w.did("network a false") && w.row("a").NetworkGeneration == Generation{2, 2} })
}

func TestOneSandboxsSlowNetworkChangeHoldsUpNoOther(t *testing.T) {
	block := true
	w := newWorld(Sandbox{ID: "a", State: StateStarted}, Sandbox{ID: "b", State: StateStarted})
	s := w.service(t)
	w.run(t, s)
	unlock, err := s.settings.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := s.SetNetwork(t.Context(), "org", "b", NetworkParams{BlockAll: &block}); err != nil || !w.did("network b true") {
		t.Errorf("got %v", err)
	}
}

func TestActivityThatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	w := newWorld(Sandbox{ID: "a", State: StateStarted, AutoStop: time.Minute, AutoDelete: NeverDelete}, Sandbox{ID: "b", State: StateStarted, AutoStop: time.Minute, AutoDelete: NeverDelete, LastActivityAt: time.Now()})
	w.fails["touch"] = 1
	s := w.recovered(t)
	s.Touch("a")
	s.Touch("b")
	if err := s.Expire(t.Context()); !errors.Is(err, errBusy) {
		t.Fatalf("got %v", err)
	}
	if got := w.row("a").State; got != StateStarted {
		t.Errorf("a sandbox in use is %s", got)
	}
	s.Touch("b")
	later := s.activity.last["b"]
	if err := s.flushActivity(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.touched["a"].IsZero() || !w.touched["b"].Equal(later) {
		t.Errorf("written: %v; b was last used at %v", w.touched, later)
	}
}

func TestOneSandboxThatCannotExpireKeepsNoOtherFromIt(t *testing.T) {
	w := newWorld(
		Sandbox{ID: "a", State: StateStarted, AutoStop: time.Minute, AutoDelete: NeverDelete}, Sandbox{ID: "b", State: StateStarted, AutoStop: time.Minute, AutoDelete: NeverDelete},
		Sandbox{ID: "c", State: StateStarted, AutoStop: time.Minute, AutoDelete: NeverDelete},
	)
	w.fails["update a"], w.fails["update b"] = 1, 1
	if err := w.recovered(t).Expire(t.Context()); !errors.Is(err, errBusy) {
		t.Errorf("got %v", err)
	}
	if got := w.row("c").State; got != StateStopping {
		t.Errorf("c is %s", got)
	}
}

func TestSandboxesThatWaitForASnapshotAreFoundAfterAFailure(t *testing.T) {
	w := newWorld(Sandbox{ID: "a", State: StatePulling, SnapshotID: "snap"})
	w.fails["find those of snap"] = 2
	s := w.service(t)
	w.run(t, s)
	s.snapshotMoved(&snapshot.Snapshot{ID: "snap", Name: "snap", Content: snapshot.Content{State: snapshot.StateActive}})
	eventually(t, "it starts", func() bool { return w.did("start a") && w.row("a").State == StateStarted })
}
