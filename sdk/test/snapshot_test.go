//go:build linux

package daytona_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/api"
	daytona "github.com/opendaytona/daytona/sdk"
)

func TestASnapshotIsMadeAndTellsHow(t *testing.T) {
	c, s := connect(t)
	ctx := t.Context()
	release := s.Images.HoldPulls()
	defer release()
	var lines []string
	snapshot, err := c.Snapshot.Create(ctx, daytona.CreateSnapshotParams{
		Name: "team/snap:1", Image: "debian:12.9", Entrypoint: []string{"sleep", "1000"},
		Resources: &daytona.Resources{CPU: 2, Memory: 4, Disk: 8}, RegionID: "us",
	}, func(line string) {
		if lines = append(lines, line); strings.HasPrefix(line, "Pulling") {
			release() // it was told while the work went on
		}
	})
	ok(t, err)
	if snapshot.State != api.SnapshotActive || snapshot.CPU != 2 || snapshot.Memory != 4 || snapshot.Disk != 8 || !slices.Equal(snapshot.Entrypoint, []string{"sleep", "1000"}) {
		t.Errorf("made %+v", snapshot)
	}
	if !slices.Contains(lines, "Pulled debian:12.9") {
		t.Errorf("told %q", lines)
	}
	got, err := c.Snapshot.Get(ctx, "team/snap:1")
	ok(t, err)
	if got.ID != snapshot.ID || got.ImageName != "debian:12.9" {
		t.Errorf("got %+v", got)
	}
}

func TestASnapshotThatFailsEndsTheWait(t *testing.T) {
	c, _ := connect(t)
	var lines []string
	snapshot, err := c.Snapshot.Create(t.Context(), daytona.CreateSnapshotParams{Name: "snap", Image: "debian:missing"}, func(l string) { lines = append(lines, l) })
	var e *daytona.StateError
	if !errors.As(err, &e) || e.State != "error" || !strings.Contains(e.Reason, "debian:missing") || !strings.Contains(err.Error(), "snap") {
		t.Errorf("got %v", err)
	}
	if snapshot == nil || snapshot.State != api.SnapshotError {
		t.Errorf("came with %+v", snapshot)
	}
	ok(t, c.Snapshot.Delete(t.Context(), "snap"))
}

func TestSnapshotsAreListedActivatedAndDeleted(t *testing.T) {
	c, _ := connect(t)
	ctx := t.Context()
	for i := range 5 {
		_, err := c.Snapshot.Create(ctx, daytona.CreateSnapshotParams{Name: fmt.Sprintf("snap-%d", i), Image: "debian:12.9"}, nil)
		ok(t, err)
	}
	page, err := c.Snapshot.List(ctx, daytona.ListSnapshotsParams{Name: "snap", Page: 2, Limit: 2})
	ok(t, err)
	if page.Total != 5 || page.TotalPages != 3 || page.Page != 2 || len(page.Items) != 2 || page.Items[0].Name != "snap-2" {
		t.Errorf("page %+v", page)
	}
	_, err = c.Snapshot.List(ctx, daytona.ListSnapshotsParams{Limit: 1000000})
	wants(t, "a page too large", err, daytona.ErrInvalid)
	_, err = c.Snapshot.Activate(ctx, "snap-1")
	wants(t, "activating an active one", err, daytona.ErrInvalid)
	ok(t, c.Snapshot.Deactivate(ctx, "snap-1"))
	ok(t, c.Snapshot.Deactivate(ctx, "snap-1"))
	if got, err := c.Snapshot.Get(ctx, "snap-1"); err != nil || got.State != api.SnapshotInactive {
		t.Errorf("got %+v, %v", got, err)
	}
	active, err := c.Snapshot.Activate(ctx, "snap-1")
	ok(t, err)
	if active.State != api.SnapshotActive {
		t.Errorf("activated to %s", active.State)
	}
	ok(t, c.Snapshot.Delete(ctx, "snap-1"))
	for what, err := range map[string]error{
		"delete": c.Snapshot.Delete(ctx, "none"), "deactivate": c.Snapshot.Deactivate(ctx, "none"), "get": second(c.Snapshot.Get(ctx, "none")),
	} {
		wants(t, what+" of none", err, daytona.ErrNotFound)
	}
	for name, p := range map[string]daytona.CreateSnapshotParams{
		"a bad name": {Name: "bad name", Image: "debian:12.9"}, "latest": {Name: "a", Image: "debian:latest"}, "too much": {Name: "a", Image: "debian:12.9", Resources: &daytona.Resources{CPU: 99}},
	} {
		_, err := c.Snapshot.Create(ctx, p, nil)
		wants(t, name, err, daytona.ErrInvalid)
	}
	_, err = c.Snapshot.Create(ctx, daytona.CreateSnapshotParams{Name: "snap-2", Image: "debian:12.9"}, nil)
	wants(t, "a taken name", err, daytona.ErrConflict)
}

func second[T any](_ T, err error) error { return err }
