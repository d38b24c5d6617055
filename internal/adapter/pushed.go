package adapter

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/opendaytona/daytona/internal/image/hosted"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// KeptImages are the pushed images that snapshots may be made of again
// (hosted.Options.Kept): at a reactivation, or when this machine has lost them.
func KeptImages(rows SnapshotRows) func(context.Context) ([]hosted.Reference, error) {
	return func(ctx context.Context) (kept []hosted.Reference, err error) {
		all, err := rows.SnapshotsIn(ctx)
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
}
