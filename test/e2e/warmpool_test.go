package e2e

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	daytona "github.com/opendaytona/daytona/sdk"
	"github.com/opendaytona/daytona/test/serve"
)

func fullPool(s *serve.Server, size int) {
	s.T.Helper()
	s.Eventually("the pool is full", func() error {
		pools, err := s.Client.WarmPool.List(s.T.Context())
		if err != nil {
			return err
		}
		if len(pools) != 1 || pools[0].CurrentSize != size {
			return fmt.Errorf("pools: %+v", pools)
		}
		return nil
	})
}

func TestKillsWhileAPoolIsFilledAndClaimedGiveNoSandboxTwice(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	s.Snapshot("box", box)
	random := seeded(t)
	if _, err := s.Client.WarmPool.Create(t.Context(), "box", 3, ""); err != nil {
		t.Fatal(err)
	}
	owners := map[string]string{} // by sandbox, what its owner wrote into it
	var took time.Duration        // for all creations to be answered when nothing is killed
	for round := range 7 {
		fullPool(s, 3)
		client := s.Client
		var mu sync.Mutex
		var work sync.WaitGroup
		ctx := serve.Within(t, 20*time.Second)
		begun := time.Now()
		for i := range 4 {
			work.Go(func() {
				b, err := client.Create(ctx, daytona.CreateParams{Snapshot: "box", Env: map[string]string{"MINE": fmt.Sprint(round, i)}})
				if err != nil {
					return
				}
				mu.Lock()
				if before, twice := owners[b.ID]; twice {
					t.Errorf("round %d: sandbox %s was given twice, first to %s", round, b.ID, before)
				}
				owners[b.ID] = fmt.Sprint(round, i)
				mu.Unlock()
			})
		}
		if round == 0 {
			work.Wait()
			took = time.Since(begun)
		} else {
			time.Sleep(time.Duration(random.Float64() * 1.5 * float64(took)))
			s.End(unix.SIGKILL)
			work.Wait()
			s.Start()
			fullPool(s, 3)
		}
		settled(s)
		for b, err := range s.Client.List(t.Context(), daytona.ListParams{}) {
			if err != nil {
				t.Fatal(err)
			}
			if want, known := owners[b.ID]; known {
				if got := s.Output(b.ID, "echo $MINE"); got != want+"\n" {
					t.Errorf("round %d: sandbox %s has %q, want %q", round, b.ID, got, want)
				}
			}
			if err := b.Delete(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		s.Eventually("all are deleted", func() error {
			for b, err := range s.Client.List(t.Context(), daytona.ListParams{}) {
				return fmt.Errorf("%v is %v: %v", b.ID, b.State, err)
			}
			return nil
		})
	}
	if len(owners) < 8 {
		t.Errorf("%d of 28 creations were answered: too few to tell whether a sandbox is given twice", len(owners))
	}
}
