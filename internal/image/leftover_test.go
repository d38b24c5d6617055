package image

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
)

func TestWhatAKilledServerWasWritingIsFreedAtTheNextStart(t *testing.T) {
	o := Options{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx := s.in(t.Context())
	write := func(ctx context.Context, ref string) {
		t.Helper()
		w, err := s.content().Writer(ctx, content.WithRef(ref))
		if err == nil {
			_, err = w.Write([]byte("half of a layer"))
		}
		if err == nil {
			err = w.Close() // which keeps it to be gone on with, as the end of the process does
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	capturing, _, err := s.temporary(ctx) // nobody is there to call done
	if err != nil {
		t.Fatal(err)
	}
	write(capturing, "commit-1")
	write(ctx, "nobody's")
	pull, err := s.leases.Create(ctx, leases.WithID(pullPrefix+"sha256:x"))
	if err != nil {
		t.Fatal(err)
	}
	write(leases.WithLease(ctx, pull.ID), "layer-sha256:y")

	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	defer closeStore(t, s)
	left, err := s.content().ListStatuses(ctx)
	if err != nil || len(left) != 1 || left[0].Ref != "layer-sha256:y" || left[0].Offset == 0 {
		t.Errorf("left: %+v, %v; want that of the pull, with what came of it", left, err)
	}
	if files, err := filepath.Glob(filepath.Join(o.Dir, "content/ingest/*")); err != nil || len(files) != 1 {
		t.Errorf("files: %q, %v", files, err)
	}
	all, err := s.leases.List(ctx)
	if err != nil || len(all) != 1 || all[0].ID != brokenPrefix+"sha256:x" {
		t.Errorf("leases: %+v, %v", all, err)
	}
}
