package server

import (
	"context"
	"net/http"
	"time"

	"github.com/opendaytona/daytona/internal/config"

	"github.com/opencontainers/go-digest"

	"github.com/opendaytona/daytona/internal/httpapi"
	"github.com/opendaytona/daytona/internal/image/hosted"
	"github.com/opendaytona/daytona/internal/snapshot"
)

func (s *server) openHosted() (err error) {
	s.hosted, err = hosted.Open(hosted.Options{
		Dir: s.Below(config.RegistryName), Quota: int64(s.QuotaRegistry) * config.GiB, Keep: s.RegistryKeep, Log: s.log,
		Origin:   func(r *http.Request) string { return httpapi.Origin(r, s.PublicURL) },
		Kept:     s.keptImages,
		Continue: func(ctx context.Context, keyHash string) error { return s.accounts.Continue(ctx, keyHash) },
		Hold:     func() bool { return s.quarantine.HoldsFiles() },
	})
	if err != nil {
		return err
	}
	s.opened("registry", s.hosted.Close)
	return nil
}

// keptImages are the pushed images that snapshots may be made of again: at a
// reactivation, or when this machine has lost them.
func (s *server) keptImages(ctx context.Context) (kept []hosted.Reference, err error) {
	all, err := s.db.SnapshotsIn(ctx)
	if err != nil {
		return nil, err
	}
	for _, snap := range all {
		if snap.State == snapshot.StateRemoving {
			continue
		}
		if ref, ours := hosted.Parse(snap.OrganizationID, snap.ImageName); ours {
			if snap.ImageDigest != "" { // as it is pulled again
				ref.Digest = digest.Digest(snap.ImageDigest)
			}
			kept = append(kept, ref)
		}
	}
	return kept, nil
}

// forgetPushed lets go of what was pushed for a snapshot that has gone.
func (s *server) forgetPushed(snap *snapshot.Snapshot) {
	if err := s.hosted.Forget(snap.OrganizationID, snap.ImageName, snap.ImageDigest, time.Now()); err != nil {
		s.log.Error("let go of a pushed image", "snapshot", snap.Name, "image", snap.ImageName, "err", err)
	}
}
