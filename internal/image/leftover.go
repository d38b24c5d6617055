package image

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
)

// temporaryPrefix marks the leases of work that ends with this process.
const temporaryPrefix = "temporary/"

// freeLeftovers lets go of what a killed server was writing and nobody will go on
// with: an image of a sandbox is written anew. It is called after keepBrokenPulls, before any
// work begins.
func (s *Store) freeLeftovers(ctx context.Context) error {
	all, err := s.leases.List(ctx)
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	resumed := map[string]bool{} // ingests, by their reference
	for _, l := range all {
		switch {
		case strings.HasPrefix(l.ID, temporaryPrefix):
			if err := s.leases.Delete(ctx, l); err != nil && !errdefs.IsNotFound(err) {
				return fmt.Errorf("delete lease %s: %w", l.ID, err)
			}
		case strings.HasPrefix(l.ID, brokenPrefix):
			held, err := s.leases.ListResources(ctx, l)
			if err != nil {
				return fmt.Errorf("list what lease %s holds: %w", l.ID, err)
			}
			for _, r := range held {
				if r.Type == ingests {
					resumed[r.ID] = true
				}
			}
		}
	}
	writing, err := s.content().ListStatuses(ctx)
	if err != nil {
		return fmt.Errorf("list what was being written: %w", err)
	}
	for _, w := range writing {
		if resumed[w.Ref] {
			continue
		}
		if err := s.content().Abort(ctx, w.Ref); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("free %s: %w", w.Ref, err)
		}
	}
	return nil
}

// ingests is the type of a lease's resources that are being written.
const ingests = "ingests"
