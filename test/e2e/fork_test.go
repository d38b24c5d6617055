package e2e

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/api"
	daytona "github.com/opendaytona/daytona/sdk"
	"github.com/opendaytona/daytona/test/serve"
)

func TestKillsDuringForksAndSnapshotsLeaveSandboxesRunningAndNothingHalf(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	s.Snapshot("box", box)
	random := seeded(t)
	parent := s.Sandbox("box")
	check := counting(s, parent.ID)
	check()
	s.Output(parent.ID, "dd if=/dev/zero of=/big bs=1M count=64 2>/dev/null; echo kept >/mark; sync")
	forks, saved := 0, 0 // that had begun when the server was killed
	for round := range 8 {
		var work sync.WaitGroup
		ctx := serve.Within(t, 20*time.Second)
		box, err := s.Client.Get(ctx, parent.ID)
		if err != nil {
			t.Fatal(err)
		}
		// The answers are lost with the server.
		if round%2 == 0 {
			work.Go(func() { _, _ = box.Fork(ctx, fmt.Sprintf("fork-%d", round)) })
			work.Go(func() { _, _ = box.Fork(ctx, fmt.Sprintf("other-%d", round)) })
		} else {
			work.Go(func() { _ = box.CreateSnapshot(ctx, fmt.Sprintf("saved-%d", round)) })
		}
		time.Sleep(serve.Slow(time.Duration(random.IntN(150)) * time.Millisecond))
		s.End(unix.SIGKILL)
		work.Wait()
		s.Start()
		settled(s)
		check()
		for b, err := range s.Client.List(t.Context(), daytona.ListParams{}) {
			if err != nil {
				t.Fatal(err)
			}
			if b.State != api.SandboxStarted {
				t.Fatalf("round %d: sandbox %s is %s: %s", round, b.Name, b.State, b.ErrorReason)
			}
			if got := strings.TrimSpace(s.Output(b.ID, "cat /mark")); got != "kept" {
				t.Errorf("round %d: sandbox %s has %q", round, b.Name, got)
			}
			if b.ID != parent.ID {
				forks++
				if err := b.Delete(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		snap, err := s.Client.Snapshot.Get(t.Context(), fmt.Sprintf("saved-%d", round))
		if errors.Is(err, daytona.ErrNotFound) {
			continue // a round of forks, or killed before it was written
		}
		if err != nil {
			t.Fatal(err)
		}
		if snap.State != api.SnapshotActive {
			t.Fatalf("round %d: snapshot is %s: %v", round, snap.State, snap.ErrorReason)
		}
		saved++
		made := s.Sandbox(snap.Name)
		if got := strings.TrimSpace(s.Output(made.ID, "cat /mark; wc -c </big")); got != "kept\n67108864" {
			t.Errorf("round %d: a sandbox of the snapshot has %q", round, got)
		}
		if err := made.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Client.Snapshot.Delete(t.Context(), snap.Name); err != nil {
			t.Fatal(err)
		}
	}
	if forks < 2 || saved < 1 {
		t.Errorf("%d of 8 forks and %d of 4 snapshots had begun when the server was killed: too few to tell what becomes of them", forks, saved)
	}
}
