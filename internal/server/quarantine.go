package server

import (
	"context"
	"errors"

	"github.com/opendaytona/daytona/internal/config"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/quarantine"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
	"github.com/opendaytona/daytona/internal/store"
)

func quarantineIndex(c config.Config) quarantine.Index {
	return quarantine.Index{Dir: c.Below(config.QuarantineName)}
}

// openQuarantine puts what the database does not know out of the services'
// reach, which would take it for theirs to clean up.
func (s *server) openQuarantine(ctx context.Context, regressed bool) error {
	s.quarantine = &quarantine.Keeper{
		Index: quarantineIndex(s.Config), Keep: s.QuarantineKeep, Disks: s.engine, Images: s.images,
		Rows: knownRows{s.db, s.snapshots}, Adopt: s.adopt, Clock: s.clock, Log: s.log,
	}
	return s.quarantine.Gather(ctx, regressed)
}

// adopt makes a disk a sandbox of its own organization, or else of the
// administrator's.
func (s *server) adopt(ctx context.Context, id string, record []byte, snapshotName string) (image string, err error) {
	founder, err := s.db.Founder(ctx)
	if err != nil {
		return "", err
	}
	organizations, err := s.db.OrganizationsOf(ctx, founder.ID)
	if err != nil || len(organizations) == 0 {
		return "", errors.Join(err, errors.New("the administrator has no organization"))
	}
	sb, err := s.sandboxes.Adopt(ctx, sandbox.AdoptParams{
		ID: id, Record: record, Snapshot: snapshotName, OrganizationID: organizations[0].ID,
		Known: func(organizationID string) (bool, error) {
			_, err := s.db.Organization(ctx, organizationID)
			if fault.Is(err, fault.KindNotFound) {
				return false, nil
			}
			return err == nil, err
		},
	})
	if err != nil {
		return "", err
	}
	return sb.ImageDigest, nil
}

// knownRows is what the database knows. It implements quarantine.Rows.
type knownRows struct {
	db        *store.Store
	snapshots *snapshot.Service
}

// Sandboxes is quarantine.Rows.
func (k knownRows) Sandboxes(ctx context.Context) (map[string]string, error) {
	all, err := k.db.AllSandboxes(ctx)
	images := make(map[string]string, len(all))
	for _, sb := range all {
		images[sb.ID] = sb.ImageDigest
	}
	return images, err
}

// Captures is quarantine.Rows.
func (k knownRows) Captures(ctx context.Context) (map[string]bool, error) {
	all, err := k.db.SnapshotsIn(ctx)
	known := make(map[string]bool, len(all))
	for _, snap := range all {
		known[snap.Revision] = true
	}
	return known, err
}

// Owns is quarantine.Rows.
func (k knownRows) Owns(ctx context.Context, lost bool) (func(owner, image string) bool, error) {
	revisions, err := k.Captures(ctx)
	if err != nil {
		return nil, err
	}
	sandboxes, err := k.Sandboxes(ctx)
	if err != nil {
		return nil, err
	}
	stood := make(map[string]bool, len(sandboxes))
	for _, image := range sandboxes {
		stood[image] = true
	}
	return func(owner, image string) bool {
		if revision, ok := snapshot.OwnedRevision(owner); ok {
			return revisions[revision]
		}
		return !lost || !snapshot.OwnedBySandboxes(owner) || stood[image]
	}, nil
}

// KeepImage is quarantine.Rows.
func (k knownRows) KeepImage(ctx context.Context, image string) error {
	return k.snapshots.KeepImage(ctx, image)
}

// ImageOf is quarantine.Rows.
func (k knownRows) ImageOf(record []byte) string {
	sb, err := sandbox.ParseRecord(record)
	if err != nil {
		return ""
	}
	return sb.ImageDigest
}
