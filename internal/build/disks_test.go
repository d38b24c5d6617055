package build

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/leases"

	"github.com/opendaytona/daytona/internal/engine/local"
	"github.com/opendaytona/daytona/internal/engine/local/disk"
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

// Where the pool promises no more than it has, builds wait for no disk that the
// sandboxes were promised, and what their cache may take comes back to others.
func TestABuildTakesNoneOfWhatSandboxesWerePromised(t *testing.T) {
	pool, err := disk.Open(t.Context(), disk.Config{Dir: filepath.Join(t.TempDir(), "pool"), Size: 1 << 30, Oversubscribe: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Close(false); err != nil {
			t.Error(err)
		}
	})
	const mib = 1 << 20
	f := open(t, func(o *Options) {
		o.Disks, o.Resources.Disk, o.CacheSize = local.BuildDisksIn(pool), 250*mib, 500*mib
	})
	const dockerfile = "FROM busybox:1\nRUN --mount=type=cache,target=/cache echo made >/cache/file\n"
	if err := pool.Create("sandbox", 700*mib); err != nil {
		t.Fatal(err)
	}
	_, _, err = f.make("refused", dockerfile, nil)
	var told *Error
	if !errors.As(err, &told) || !strings.Contains(told.Message(), "the server's disk pool has no room for it") {
		t.Fatalf("beside a sandbox that was promised most of it: %v", err)
	}
	if err := pool.Resize("sandbox", 100*mib); err != nil {
		t.Fatal(err)
	}
	if _, log, err := f.make("made", dockerfile, nil); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	// The cache mount is still there, and may be written by the next build.
	if err := pool.Resize("sandbox", 800*mib); !errors.Is(err, disk.ErrFull) {
		t.Errorf("beside a cache mount: %v", err)
	}
	if err := f.clear(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if err := pool.Resize("sandbox", 800*mib); err != nil {
		t.Errorf("when the cache is gone: %v", err)
	}
}
