package e2e

import (
	"strings"
	"testing"

	daytona "github.com/opendaytona/daytona/sdk"
	"github.com/opendaytona/daytona/test/serve"
)

func TestTheSettingBoundsWhatSandboxesArePromised(t *testing.T) {
	for name, c := range map[string]struct {
		options []string
		fit     int // sandboxes of 1 GiB in a pool of 2 GiB, of the 4 that are tried
	}{
		"by default, nothing does": {nil, 4},
		"to what the pool has":     {[]string{"--disk-oversubscription", "1"}, 2},
		"to a part more":           {[]string{"--disk-oversubscription", "1.6"}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			serve.LeavesNothing(t)
			s := serve.New(t, append(c.options, "--disk-size", "2GiB")...)
			_, err := s.Client.Snapshot.Create(t.Context(), daytona.CreateSnapshotParams{Name: "box", Image: box, Resources: &daytona.Resources{CPU: 1, Memory: 1, Disk: 1}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var made []*daytona.Sandbox
			for range 4 {
				b, err := s.Client.Create(t.Context(), daytona.CreateParams{Snapshot: "box"})
				if err == nil {
					made = append(made, b)
					continue
				}
				if !strings.Contains(err.Error(), "no disk space left") {
					t.Errorf("the one too many: %v", err)
				}
			}
			if len(made) != c.fit {
				t.Fatalf("%d sandboxes were made, want %d", len(made), c.fit)
			}
			if c.fit == 4 {
				return
			}
			// The room of one that is deleted is another's, as soon as its disk has gone.
			if err := made[0].Delete(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.Eventually("there is room again", func() error {
				_, err := s.Client.Create(t.Context(), daytona.CreateParams{Snapshot: "box"})
				return err
			})
		})
	}
}
