package snapshot

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/opendaytona/daytona/internal/fairqueue"
)

func TestPullsLeaveEachOtherRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := fairqueue.New(fairqueue.Limits{All: pullsAtOnce, PerTenant: pullsOfOrganization})
		ctx, cancel := context.WithCancel(t.Context())
		pulls := func(organization, registry string) int {
			before, _ := q.Len()
			for range 100 {
				go func() {
					release, err := q.Acquire(ctx, fairqueue.Request{Tenant: organization, Bounds: pullBounds(organization, registry)})
					if err == nil {
						<-ctx.Done()
						release()
					}
				}()
			}
			synctest.Wait()
			after, _ := q.Len()
			return after - before
		}
		for _, c := range []struct {
			organization, registry string
			want                   int // of 100
			why                    string
		}{
			{"a", "slow", 8, "half of the organization's"},
			{"a", "good", 8, "the other half"},
			{"a", "third", 0, "the organization has all it may"},
			{"b", "slow", 8, "another organization has its own"},
			{"c", "slow", 0, "the registry has all it may"},
			{"c", "good", 8, "nobody waits for the slow one"},
			{"d", "good", 0, "the registry has all it may"},
		} {
			if got := pulls(c.organization, c.registry); got != c.want {
				t.Errorf("%s pulls %d at once from %s, want %d: %s", c.organization, got, c.registry, c.want, c.why)
			}
		}
		cancel()
	})
}
