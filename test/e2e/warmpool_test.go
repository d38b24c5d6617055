package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/api"
	daytona "github.com/opendaytona/daytona/sdk"
	"github.com/opendaytona/daytona/test/serve"
)

// call makes a request that the SDK has no method for.
func call(s *serve.Server, method, path string, in, out any) error {
	s.T.Helper()
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	var c struct{ APIURL, APIKey string }
	b, err := os.ReadFile(filepath.Join(s.Data, "credentials.json"))
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(s.T.Context(), method, c.APIURL+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.APIKey)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s", method, path, answer.Status)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(answer.Body).Decode(out)
}

func fullPool(s *serve.Server, size int) {
	s.T.Helper()
	s.Eventually("the pool is full", func() error {
		var pools []api.WarmPool
		if err := call(s, http.MethodGet, "/warm-pools", nil, &pools); err != nil {
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
	if err := call(s, http.MethodPost, "/warm-pools", api.CreateWarmPool{Snapshot: "box", Pool: 3}, nil); err != nil {
		t.Fatal(err)
	}
	owners := map[string]string{} // by sandbox, what its owner wrote into it
	for round := range 6 {
		client := s.Client
		var mu sync.Mutex
		var work sync.WaitGroup
		ctx := serve.Within(t, 20*time.Second)
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
		time.Sleep(time.Duration(random.IntN(150)) * time.Millisecond)
		s.End(unix.SIGKILL)
		work.Wait()
		s.Start()
		fullPool(s, 3)
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
}
