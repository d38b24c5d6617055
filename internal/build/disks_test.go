package build

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/core/leases"
)

func TestDisksThatAKilledServerLeftAreFreed(t *testing.T) {
	f := open(t, nil)
	if _, log, err := f.make("mount", "FROM busybox:1\nRUN --mount=type=cache,target=/cache echo kept >/cache/file\n", nil); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	before, err := f.Disks.List()
	if err != nil || len(before) == 0 {
		t.Fatalf("the disks are %v, %v", before, err)
	}
	if err := f.Disks.Create(t.Context(), ownScope, "left", 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if f.Builder, err = Open(t.Context(), f.Options); err != nil {
		t.Fatal(err)
	}
	after, err := f.Disks.List()
	if slices.Sort(after); err != nil || slices.Contains(after, "left") {
		t.Errorf("the disks are %v, %v", after, err)
	}
	img, log, err := f.make("again", "FROM busybox:1\nRUN --mount=type=cache,target=/cache cat /cache/file >/seen\n", nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if got := read(t, img, "seen"); got != "kept" {
		t.Errorf("the cache mount has %q", got)
	}
}

// As an earlier version left them: in the image store itself.
func TestASnapshotWithoutADiskGetsOneWithWhatItHas(t *testing.T) {
	f := open(t, nil)
	cache, leave, err := f.use(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	ctx := in(t.Context())
	lease, err := f.shared.Leases.Create(ctx, leases.WithRandomID())
	if err != nil {
		t.Fatal(err)
	}
	ctx = leases.WithLease(ctx, lease.ID)
	mounts, err := f.shared.Snapshotter.Prepare(ctx, "early", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mounts[0].Source, "file"), []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := snapshotter{f.shared.Snapshotter, cache.disks}
	now, err := s.Mounts(ctx, "early")
	if err != nil {
		t.Fatal(err)
	}
	if name, ok := f.Disks.NameAt(now[0].Source); !ok || name != "early" {
		t.Errorf("it is at %s", now[0].Source)
	}
	if b, err := os.ReadFile(filepath.Join(now[0].Source, "file")); err != nil || string(b) != "kept" {
		t.Errorf("it has %q, %v", b, err)
	}
	if left, err := os.ReadDir(mounts[0].Source); err != nil || len(left) > 0 {
		t.Errorf("it is in the image store too: %v, %v", left, err)
	}
	// A disk that is lost is no empty snapshot.
	if err := f.Disks.Delete(ctx, "early"); err != nil {
		t.Fatal(err)
	}
	if mounts, err := s.Mounts(ctx, "early"); err == nil {
		t.Errorf("without its disk it is %v", mounts)
	}
	if err := f.shared.Leases.Delete(ctx, lease); err != nil {
		t.Fatal(err)
	}
}
