package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/oci"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// disks are those of sandboxes that are always there, but for the gone ones.
type disks struct {
	images *images
	mu     sync.Mutex
	kept   map[string]bool
	gone   map[string]bool

	commits, most int // that go on, and the most that did
}

func (d *disks) Capture(_ context.Context, sandboxID, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone[sandboxID] || sandboxID == "gone" {
		return errors.New("sandbox is not on this engine")
	}
	d.kept[name] = true
	return nil
}

func (d *disks) Commit(ctx context.Context, name, _, owner string) (*oci.Image, error) {
	d.count(1)
	defer d.count(-1)
	time.Sleep(10 * time.Millisecond)
	img := &oci.Image{Digest: "sha256:" + name, DefaultUser: "root"}
	return img, d.images.Hold(ctx, owner, img.Digest)
}

func (d *disks) count(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.commits += n
	d.most = max(d.most, d.commits)
}

func (d *disks) Captures(context.Context) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for n := range d.kept {
		names = append(names, n)
	}
	return names, nil
}

func (d *disks) Discard(_ context.Context, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.kept, name)
	return nil
}

func take(t *testing.T, s *snapshot.Service, organization, name, sandbox string) *snapshot.Snapshot {
	t.Helper()
	snap, err := s.Settle(t.Context(), begin(t, s, organization, name, sandbox))
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func begin(t *testing.T, s *snapshot.Service, organization, name, sandbox string) *snapshot.Snapshot {
	t.Helper()
	snap, err := s.Take(t.Context(), organization, snapshot.TakeParams{
		Name: name, SandboxID: sandbox, Region: "us", Image: "sha256:1", Entrypoint: []string{"run"}, User: "ann", Resources: snapshot.DefaultResources,
	})
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func TestASnapshotOfASandboxKeepsItsImageWhileItIsInactive(t *testing.T) {
	s, _, store, organization := service(t)
	snap := take(t, s, organization, "saved", "box")
	if snap.State != snapshot.StateActive || snap.User != "ann" || snap.Entrypoint[0] != "run" || snap.ImageDigest != "sha256:"+snap.ID {
		t.Fatalf("it is %+v", snap)
	}
	if err := s.Deactivate(t.Context(), organization, "saved", false); err != nil {
		t.Fatal(err)
	}
	again, err := s.Activate(t.Context(), organization, "saved")
	if err == nil {
		again, err = s.Settle(t.Context(), again)
	}
	if err != nil || again.State != snapshot.StateActive || again.ImageDigest != snap.ImageDigest {
		t.Fatalf("activated again: %+v, %v", again, err)
	}
	if !store.holds(snap.ImageDigest) {
		t.Error("nobody holds its image")
	}
	page, total, err := s.List(t.Context(), snapshot.Filter{OrganizationID: organization, SourceSandbox: "box", Page: 1, Limit: 10})
	if err != nil || total != 1 || page[0].ID != snap.ID {
		t.Errorf("snapshots of the sandbox: %d, %v", total, err)
	}
	if _, total, _ := s.List(t.Context(), snapshot.Filter{OrganizationID: organization, SourceSandbox: "other", Page: 1, Limit: 10}); total != 0 {
		t.Errorf("another sandbox has %d", total)
	}
}

func TestDisksAreCopiedAtOnceAndPackedInTurn(t *testing.T) {
	s, _, _, organization := service(t)
	disks := s.Config().Captures.(*disks)
	var all []*snapshot.Snapshot
	for i := range 5 {
		all = append(all, begin(t, s, organization, fmt.Sprintf("saved-%d", i), "box"))
	}
	for _, snap := range all {
		if snap, err := s.Settle(t.Context(), snap); err != nil || snap.State != snapshot.StateActive {
			t.Errorf("it is %+v, %v", snap, err)
		}
	}
	if disks.most != 1 {
		t.Errorf("%d were packed at once", disks.most)
	}
}

func TestASnapshotOfASandboxThatIsGoneFailsWithAReason(t *testing.T) {
	s, _, _, organization := service(t)
	snap := take(t, s, organization, "late", "gone")
	if snap.State != snapshot.StateError || !strings.Contains(snap.ErrorReason, "not on this engine") {
		t.Errorf("it is %s: %s", snap.State, snap.ErrorReason)
	}
	if err := s.Delete(t.Context(), organization, "late", false); err != nil {
		t.Error(err)
	}
}
