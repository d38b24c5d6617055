package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/api"
	daytona "github.com/opendaytona/daytona/sdk"
	"github.com/opendaytona/daytona/test/serve"
)

// release is a Dockerfile whose two steps both say n: no sandbox may have one
// of this and one of another.
func release(t *testing.T, n int) *daytona.Image {
	t.Helper()
	path := filepath.Join(t.TempDir(), "Dockerfile")
	text := fmt.Sprintf("FROM %s\nRUN echo %d >/one\nRUN sleep 1; echo %d >/two\n", box, n, n)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return daytona.FromDockerfile(path)
}

func TestSandboxesMadeDuringUpdatesHaveTheOldOrTheNewAlsoOverCrashes(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	ctx := serve.Within(t, 3*time.Minute)
	if _, err := s.Client.Snapshot.Create(ctx, daytona.CreateSnapshotParams{Name: "app", Build: release(t, 0), Entrypoint: []string{"sleep", "100000"}}, nil); err != nil {
		t.Fatal(err)
	}
	whole := func(least, most int) int {
		t.Helper()
		b := s.Sandbox("app")
		var one, two int
		if _, err := fmt.Sscan(s.Output(b.ID, "cat /one /two"), &one, &two); err != nil || one != two || one < least || one > most {
			t.Errorf("a sandbox has %d and %d, want one of %d to %d: %v", one, two, least, most, err)
		}
		if err := b.Delete(ctx); err != nil {
			t.Error(err)
		}
		return one
	}
	for n := 1; n <= 3; n++ {
		updated := make(chan error, 1)
		client := s.Client
		go func() {
			_, err := client.Snapshot.Update(ctx, "app", daytona.UpdateSnapshotParams{Build: release(t, n)}, nil)
			updated <- err
		}()
		made, crashed := 0, false
		for got := n - 1; got < n; made++ {
			got = whole(n-1, n)
			// In the middle of the second update's build the server is killed.
			if n == 2 && !crashed {
				if snap, err := s.Client.Snapshot.Get(ctx, "app"); err == nil && snap.Update != nil && snap.Update.State == api.SnapshotBuilding {
					s.End(unix.SIGKILL)
					s.Start()
					crashed = true
				}
			}
			if ctx.Err() != nil {
				t.Fatalf("update %d is not made: %v", n, ctx.Err())
			}
		}
		if err := <-updated; err != nil && !crashed {
			t.Errorf("update %d: %v", n, err)
		}
		if n == 2 && !crashed {
			t.Error("the second update was over before the server was killed")
		}
		t.Logf("update %d: %d sandboxes meanwhile", n, made)
	}

	// One that fails leaves what there is, and says why.
	_, err := s.Client.Snapshot.Update(ctx, "app", daytona.UpdateSnapshotParams{Image: "fixtures/not-there:1"}, nil)
	var failed *daytona.StateError
	if !errors.As(err, &failed) || !strings.Contains(failed.Reason, "was not found") {
		t.Errorf("an update to an image that does not exist: %v", err)
	}
	whole(3, 3)
	snap, err := s.Client.Snapshot.Create(ctx, daytona.CreateSnapshotParams{Name: "app", Image: box, Replace: true}, nil)
	if err != nil || snap.Update != nil || snap.ImageName != box || strings.Join(snap.Entrypoint, " ") != "sleep 100000" {
		t.Errorf("a create that replaces: %+v, %v", snap, err)
	}
	if err := s.Client.Snapshot.Delete(ctx, "app"); err != nil {
		t.Error(err)
	}
}
