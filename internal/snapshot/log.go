package snapshot

import (
	"context"
	"fmt"
	"io"

	"github.com/opendaytona/daytona/internal/buildlog"
	"github.com/opendaytona/daytona/internal/fault"
)

// startLog begins the log of the snapshot's content and wakes those who wait
// for it.
func (s *Service) startLog(snap *Snapshot) (*buildlog.Writer, error) {
	log, err := s.config.Logs.Start(snap.Revision)
	if err == nil {
		s.changes.Signal(snap.named())
	}
	return log, err
}

// CopyLog writes to dst how the snapshot was made, from the first line; while
// it is updated, or when that failed, how that goes. With follow it goes on to
// the end of the log, and waits for its beginning. Errors: dst's, ctx's.
func (s *Service) CopyLog(ctx context.Context, dst io.Writer, snap *Snapshot, follow bool) error {
	revision := snap.Latest()
	if follow {
		err := s.changes.Wait(ctx, snap.ID, func(ctx context.Context) (bool, error) {
			now, err := s.config.Store.Snapshot(ctx, snap.ID)
			if fault.Is(err, fault.KindNotFound) {
				return true, nil
			}
			if err != nil {
				return false, err
			}
			return s.config.Logs.Live(revision) || !now.making(revision), nil
		})
		if err != nil {
			return fmt.Errorf("wait for the log of snapshot %q: %w", snap.Name, err)
		}
	}
	return s.config.Logs.Copy(ctx, dst, revision, follow)
}

// making reports whether the content of that revision is being made.
func (s *Snapshot) making(revision string) bool {
	for _, c := range []*Snapshot{s, s.Next} {
		if c != nil && c.Revision == revision {
			return !c.State.Settled() && c.State != StateRemoving
		}
	}
	return false
}
