package e2e

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/api"
	daytona "github.com/opendaytona/daytona/sdk"
	"github.com/opendaytona/daytona/test/fixtures"
	"github.com/opendaytona/daytona/test/serve"
)

const box = "alpine:3.21"

var replay = flag.Uint64("seed", 0, "the seed of a run to repeat, which its log tells")

// seeded is a source of delays and choices, which -seed repeats.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := cmp.Or(*replay, uint64(time.Now().UnixNano()))
	t.Logf("repeat it by -seed=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// counting starts a process in a sandbox that writes a number ten times a
// second, and returns how to ask whether it still does.
func counting(s *serve.Server, id string) (check func()) {
	s.T.Helper()
	s.Output(id, "(i=0; while :; do i=$((i+1)); echo $$ $i >/tmp/count.new; mv /tmp/count.new /tmp/count; sleep 0.1; done) >/dev/null 2>&1 &")
	var pid string
	var count int
	return func() {
		s.T.Helper()
		s.Eventually("the counter goes on", func() error {
			var p string
			var n int
			if _, err := fmt.Sscan(s.Output(id, "cat /tmp/count"), &p, &n); err != nil {
				return err
			}
			if pid != "" && p != pid {
				s.T.Fatalf("it is another process: %s, before %s", p, pid)
			}
			if n <= count {
				return errors.New("it stands still")
			}
			pid, count = p, n
			return nil
		})
	}
}

// settled waits until no sandbox and no snapshot is between two states.
func settled(s *serve.Server) {
	s.T.Helper()
	s.Eventually("everything has settled", func() error {
		for b, err := range s.Client.List(s.T.Context(), daytona.ListParams{}) {
			if err != nil {
				return err
			}
			switch b.State {
			case api.SandboxStarted, api.SandboxStopped, api.SandboxError:
			default:
				return fmt.Errorf("sandbox %s is %s", b.ID, b.State)
			}
		}
		page, err := s.Client.Snapshot.List(s.T.Context(), daytona.ListSnapshotsParams{Limit: 100})
		if err != nil {
			return err
		}
		for _, snap := range page.Items {
			switch snap.State {
			case api.SnapshotActive, api.SnapshotInactive, api.SnapshotError, api.SnapshotBuildFailed:
			default:
				return fmt.Errorf("snapshot %s is %s", snap.Name, snap.State)
			}
			if u := snap.Update; u != nil && u.State != api.SnapshotError && u.State != api.SnapshotBuildFailed {
				return fmt.Errorf("the update of snapshot %s is %s", snap.Name, u.State)
			}
		}
		return nil
	})
}

func TestRunningSandboxesDoNotNoticeThatTheServerIsKilled(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	s.Snapshot("box", box)
	id := s.Sandbox("box").ID
	check := counting(s, id)
	check()
	for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGTERM, unix.SIGKILL} {
		s.End(sig)
		s.Start()
		check()
	}
}

func TestKillsDuringPullsLeaveNoSnapshotBehind(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	random := seeded(t)
	written := 0
	for i := range 4 {
		s.Registry.Faults.Set(fixtures.Fault{BytesPerS: 16 << 20})
		name := fmt.Sprintf("big-%d", i)
		go func() {
			// The answer is lost with the server.
			_, _ = s.Client.Snapshot.Create(serve.Within(t, 20*time.Second), daytona.CreateSnapshotParams{Name: name, Image: "fixtures/big:1"}, nil)
		}()
		time.Sleep(serve.Slow(time.Duration(100+random.IntN(1200)) * time.Millisecond))
		s.End(unix.SIGKILL)
		s.Registry.Faults.Set(fixtures.Fault{})
		s.Start()
		settled(s)
		snap, err := s.Client.Snapshot.Get(t.Context(), name)
		if errors.Is(err, daytona.ErrNotFound) {
			continue // killed before it was written
		}
		if err != nil {
			t.Fatal(err)
		}
		written++
		if snap.State != api.SnapshotActive {
			t.Errorf("snapshot %s is %s: %v", name, snap.State, snap.ErrorReason)
		}
		if err := s.Client.Snapshot.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if written < 2 {
		t.Errorf("%d of 4 pulls had begun when the server was killed: too few to tell what becomes of them", written)
	}
}

func TestKillsAtAnyTimeLoseNothingThatWasAnswered(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	s.Snapshot("box", box)
	random := seeded(t)
	witness := s.Sandbox("box").ID
	check := counting(s, witness)
	check()
	kept := map[string]string{} // sandboxes whose creation was answered, and what their disks hold
	answered, marked := 0, 0
	for round := range 15 {
		client := s.Client
		victim := "" // of a deletion that may or may not be done
		if len(kept) > 0 {
			victim = slices.Sorted(maps.Keys(kept))[random.IntN(len(kept))]
			delete(kept, victim)
		}
		var mu sync.Mutex
		var work sync.WaitGroup
		ctx := serve.Within(t, 20*time.Second)
		for range 4 {
			work.Go(func() {
				b, err := client.Create(ctx, daytona.CreateParams{Snapshot: "box"})
				if err != nil {
					return
				}
				mark := strconv.Itoa(round)
				answer, err := b.Process.ExecuteCommand(ctx, "echo "+mark+" >/mark && sync && echo written", daytona.ExecuteOptions{})
				mu.Lock()
				answered++
				kept[b.ID] = ""
				if err == nil && answer.Result == "written\n" {
					marked++
					kept[b.ID] = mark
				}
				mu.Unlock()
				_ = b.Stop(ctx)
				_ = b.Start(ctx)
			})
		}
		if victim != "" {
			work.Go(func() { _ = client.Delete(ctx, victim) })
		}
		time.Sleep(serve.Slow(time.Duration(random.IntN(400)) * time.Millisecond))
		s.End(unix.SIGKILL)
		work.Wait()
		s.Start()
		settled(s)
		check()
		for id, mark := range kept {
			b, err := s.Client.Get(t.Context(), id)
			if err != nil {
				t.Fatalf("round %d: a sandbox is lost: %v", round, err)
			}
			if b.State == api.SandboxError {
				t.Fatalf("round %d: sandbox %s: %s", round, id, b.ErrorReason)
			}
			if b.State == api.SandboxStopped {
				if err := b.Start(t.Context()); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
			}
			if got := strings.TrimSpace(s.Output(id, "cat /mark 2>/dev/null")); mark != "" && got != mark {
				t.Fatalf("round %d: sandbox %s lost its file: %q, want %q", round, id, got, mark)
			}
		}
	}
	if answered < 8 || marked < 3 {
		t.Errorf("%d of 60 creations were answered, %d files written before the kills: too few to tell what is lost", answered, marked)
	}
	for b, err := range s.Client.List(t.Context(), daytona.ListParams{}) {
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTwoServersDoNotDisturbEachOther(t *testing.T) {
	serve.LeavesNothing(t)
	one, two := serve.New(t), serve.New(t)
	one.Snapshot("box", box)
	two.Snapshot("box", box)
	id := one.Sandbox("box").ID
	check := counting(one, id)
	check()
	for range 3 {
		two.Sandbox("box")
		two.End(unix.SIGKILL)
		two.Start()
		settled(two)
		check()
	}
}

func TestPurgeEndsWhatRuns(t *testing.T) {
	serve.LeavesNothing(t)
	before := len(serve.Traces(t))
	s := serve.New(t)
	s.Snapshot("box", box)
	for range 3 {
		s.Sandbox("box")
	}
	s.End(unix.SIGKILL) // purge comes with the end of the test
	// A mount, a loop device, a directory, a control group; for each a link and a process.
	if now := len(serve.Traces(t)); now < before+4+3*2 {
		t.Errorf("%d traces of running sandboxes, %d before: too few to tell what is left", now, before)
	}
}
