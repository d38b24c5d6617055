package sandbox

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opendaytona/daytona/internal/engine/enginetest"
	"github.com/opendaytona/daytona/internal/fault"
)

func (w *world) ResizeSandbox(ctx context.Context, id string, change func(*Sandbox, Usage) error) (*Sandbox, error) {
	return w.UpdateSandbox(ctx, id, func(sb *Sandbox) error { return change(sb, Usage{}) })
}

func (w *world) CheckSandbox(Resources) (func(Usage) error, error) {
	return func(Usage) error { return nil }, nil
}

// changed runs f with a sandbox that runs.
func changed(t *testing.T, f func(t *testing.T, w *world, s *Service, m *enginetest.Machine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, s, m := observed(t, Sandbox{ID: "a", State: StateStarted, Desired: DesiredStarted, Resources: Resources{CPU: 1, Memory: 1, Disk: 1}})
		w.run(t, s)
		f(t, w, s, m)
	})
}

func blocked(t *testing.T, m *enginetest.Machine, id string) bool {
	t.Helper()
	spec, runs := m.Running(id)
	if !runs {
		t.Fatalf("%s does not run", id)
	}
	return spec.Network.BlockAll
}

func TestABlockOfAllIsNeverAnsweredWhileTrafficPasses(t *testing.T) {
	block := NetworkParams{BlockAll: new(true)}
	for name, f := range map[string]enginetest.Fault{
		"fails": {Method: "SetNetwork", Err: errors.New("nft")}, "hangs": {Method: "SetNetwork", Hang: true}, "fails after it was done": {Method: "SetNetwork", Err: errors.New("nft"), After: true},
	} {
		changed(t, func(t *testing.T, w *world, s *Service, m *enginetest.Machine) {
			m.Inject(f)
			_, err := s.SetNetwork(t.Context(), "org", "a", block)
			if !fault.Is(err, fault.KindUnavailable) {
				t.Errorf("%s: got %v", name, err)
			}
			if row := w.row("a"); !row.Network.BlockAll || row.NetworkGeneration != (Generation{Wanted: 1}) {
				t.Errorf("%s: the row says %+v, %+v", name, row.Network, row.NetworkGeneration)
			}
			m.Heal()
			time.Sleep(time.Minute)
			synctest.Wait()
			if row := w.row("a"); !blocked(t, m, "a") || row.NetworkGeneration != (Generation{1, 1}) {
				t.Errorf("%s: it is not made true: %+v", name, row.NetworkGeneration)
			}
		})
	}
}

func TestANetworkThatChangesDuringAStartIsInForceWhenThatIsAnswered(t *testing.T) {
	changed(t, func(t *testing.T, w *world, s *Service, m *enginetest.Machine) {
		if _, err := s.Stop(t.Context(), "org", "a", true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		m.Inject(enginetest.Fault{Method: "Start", ID: "a", Delay: 10 * time.Second})
		if _, err := s.Start(t.Context(), "org", "a"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // the start goes on with the network of before
		began := time.Now()
		if _, err := s.SetNetwork(t.Context(), "org", "a", NetworkParams{BlockAll: new(true)}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 9*time.Second || !blocked(t, m, "a") {
			t.Errorf("after %v it is blocked: %t", took, blocked(t, m, "a"))
		}
		if row := w.row("a"); row.State != StateStarted || row.NetworkGeneration != (Generation{1, 1}) {
			t.Errorf("it is %s, %+v", row.State, row.NetworkGeneration)
		}
	})
}

func TestAFailedChangeIsMadeByTheNextServer(t *testing.T) {
	changed(t, func(t *testing.T, w *world, s *Service, m *enginetest.Machine) {
		m.Inject(enginetest.Fault{Method: "SetNetwork", Err: errors.New("nft")})
		m.Inject(enginetest.Fault{Method: "Resize", Err: errors.New("cgroup")})
		if _, err := s.SetNetwork(t.Context(), "org", "a", NetworkParams{BlockAll: new(true)}); err == nil {
			t.Fatal("it did not fail")
		}
		if _, err := s.Resize(t.Context(), "org", "a", ResizeParams{CPU: new(2)}); err == nil {
			t.Fatal("it did not fail")
		}
		if row := w.row("a"); row.Resources.CPU != 1 || !row.SizeGeneration.pending() || !row.NetworkGeneration.pending() {
			t.Errorf("the row says %+v, %+v, %+v", row.Resources, row.SizeGeneration, row.NetworkGeneration)
		}
		next := w.service(t)
		e := m.Open() // which ends the one before
		t.Cleanup(func() { _ = e.Close() })
		next.config.Engine = e
		m.Heal()
		w.run(t, next)
		time.Sleep(time.Second)
		synctest.Wait()
		spec, _ := m.Running("a")
		if row := w.row("a"); !spec.Network.BlockAll || spec.Resources.CPU != 1 || row.SizeGeneration.pending() || row.NetworkGeneration.pending() {
			t.Errorf("it has %+v and %+v; the row says %+v, %+v", spec.Network, spec.Resources, row.SizeGeneration, row.NetworkGeneration)
		}
	})
}

func TestASizeThatIsRefusedIsWhatItWasBefore(t *testing.T) {
	changed(t, func(t *testing.T, w *world, s *Service, m *enginetest.Machine) {
		if _, err := s.Resize(t.Context(), "org", "a", ResizeParams{Memory: new(4)}); err != nil {
			t.Fatal(err)
		}
		m.UseMemory("a", 3<<30)
		if _, err := s.Resize(t.Context(), "org", "a", ResizeParams{Memory: new(2)}); !fault.Is(err, fault.KindInvalid) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		spec, _ := m.Running("a")
		if row := w.row("a"); row.Resources.Memory != 4 || spec.Resources.Memory != 4<<30 || row.SizeGeneration.pending() {
			t.Errorf("the row has %+v, %+v, the engine %+v", row.Resources, row.SizeGeneration, spec.Resources)
		}
		// Once per change and once to go back, not again and again.
		if n := m.Called("Resize", "a"); n != 3 {
			t.Errorf("%d resizes", n)
		}
	})
}

func TestADeletionDoesNotWaitForAStart(t *testing.T) {
	changed(t, func(t *testing.T, w *world, s *Service, m *enginetest.Machine) {
		if _, err := s.Stop(t.Context(), "org", "a", true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		m.Inject(enginetest.Fault{Method: "Start", ID: "a", Hang: true})
		if _, err := s.Start(t.Context(), "org", "a"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		sb, err := s.Delete(t.Context(), "org", "a")
		if err == nil {
			sb, err = s.Settle(t.Context(), sb)
		}
		if err != nil || sb.State != StateDestroyed || time.Since(began) > 0 {
			t.Errorf("after %v it is %s: %v", time.Since(began), sb.State, err)
		}
		if disks := m.Disks(); len(disks) > 0 {
			t.Errorf("disks stay: %v", disks)
		}
	})
}
