package store

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/snapshot"
)

type snapshotRow struct {
	bun.BaseModel `bun:"table:snapshots,alias:s"`

	ID              string `bun:",pk"`
	OrganizationID  string
	General         bool
	Name            string
	ImageName       string
	State           snapshot.State
	ErrorReason     string
	RegionIDs       jsonColumn[[]string] `bun:"region_ids"`
	CPU             int                  `bun:"cpu"`
	Memory          int
	Disk            int
	Entrypoint      jsonColumn[[]string]
	ImageDigest     string
	Size            int64
	UserName        string
	Build           string
	BuildRef        string
	Transient       bool
	SourceSandboxID string
	Revision        string
	Replaces        string
	EntrypointGiven bool
	CreatedAt       time.Time
	UpdatedAt       time.Time
	LastUsedAt      *time.Time
	UsedAt          *time.Time
	Version         int64
}

func (r *snapshotRow) version() *int64 { return &r.Version }

// rowOfSnapshot is a snapshot's row; was is the one that it was read from, or nil.
func (s *Store) rowOfSnapshot(snap *snapshot.Snapshot, was *snapshotRow) *snapshotRow {
	row := plainSnapshotRow(snap)
	if snap.Build != nil {
		row.BuildRef = snap.Build.Ref
		row.Build = s.sealBuild(snap, was)
	}
	return row
}

func plainSnapshotRow(s *snapshot.Snapshot) *snapshotRow {
	return &snapshotRow{
		ID: s.ID, OrganizationID: s.OrganizationID, General: s.General, Name: s.Name, ImageName: s.ImageName, State: s.State,
		ErrorReason: s.ErrorReason, RegionIDs: column(notNil(s.RegionIDs)), CPU: s.Resources.CPU, Memory: s.Resources.Memory, Disk: s.Resources.Disk,
		Entrypoint: column(notNil(s.Entrypoint)), ImageDigest: s.ImageDigest, Size: s.Size, UserName: s.User,
		EntrypointGiven: s.EntrypointGiven, Transient: s.Transient, Revision: s.Revision, Replaces: s.Replaces, SourceSandboxID: s.SourceSandboxID,
		CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC(), LastUsedAt: utc(s.LastUsedAt), UsedAt: utc(later(s.UpdatedAt, s.LastUsedAt)),
	}
}

// ofSnapshot is a row's snapshot.
func (s *Store) ofSnapshot(r *snapshotRow) *snapshot.Snapshot {
	snap := r.plain()
	snap.Build = s.openBuild(r)
	markSnapshot(snap, damage(map[string]error{"regions": r.RegionIDs.err, "entrypoint": r.Entrypoint.err}))
	return snap
}

func (r *snapshotRow) plain() *snapshot.Snapshot {
	return &snapshot.Snapshot{
		ID: r.ID, OrganizationID: r.OrganizationID, General: r.General, Name: r.Name, Transient: r.Transient, Replaces: r.Replaces,
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, LastUsedAt: r.LastUsedAt,
		Content: snapshot.Content{
			Revision: r.Revision, ImageName: r.ImageName, State: r.State, ErrorReason: r.ErrorReason, RegionIDs: r.RegionIDs.v,
			Resources:  snapshot.Resources{CPU: r.CPU, Memory: r.Memory, Disk: r.Disk},
			Entrypoint: r.Entrypoint.v, EntrypointGiven: r.EntrypointGiven, ImageDigest: r.ImageDigest, Size: r.Size, User: r.UserName,
			SourceSandboxID: r.SourceSandboxID,
		},
	}
}

// snapshots are the rows' snapshots, each with its Next, which is read along.
func (s *Store) snapshots(ctx context.Context, db bun.IDB, rows ...*snapshotRow) ([]*snapshot.Snapshot, error) {
	out, byID := make([]*snapshot.Snapshot, len(rows)), make(map[string]*snapshot.Snapshot, len(rows))
	ids := make([]string, len(rows))
	for i, r := range rows {
		out[i] = s.ofSnapshot(r)
		ids[i], byID[r.ID] = r.ID, out[i]
	}
	if len(rows) == 0 {
		return out, nil
	}
	var next []*snapshotRow
	q := db.NewSelect().Model(&next).Where("replaces <> ''").Where("state <> ?", snapshot.StateRemoving)
	if len(ids) <= maxListed {
		q.Where("replaces IN (?)", bun.List(ids))
	}
	if err := q.Scan(ctx); err != nil {
		return nil, err
	}
	for _, r := range next {
		if snap := byID[r.Replaces]; snap != nil {
			snap.Next = s.ofSnapshot(r)
		}
	}
	return out, nil
}

// maxListed is how many values a list in a query may have; beyond, all rows are
// looked at.
const maxListed = 500

// oneSnapshot is snapshots for one.
func (s *Store) oneSnapshot(ctx context.Context, db bun.IDB, r *snapshotRow) (*snapshot.Snapshot, error) {
	all, err := s.snapshots(ctx, db, r)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

func snapshotMissing(err error, idOrName string) error {
	return missing(err, "SNAPSHOT_NOT_FOUND", "Snapshot %q does not exist.", idOrName)
}

// InsertSnapshot is snapshot.Store.
func (s *Store) InsertSnapshot(ctx context.Context, snap *snapshot.Snapshot, allow func(count int) error) error {
	return s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := s.dialect.lockKey(ctx, tx, snap.OrganizationID); err != nil {
			return err
		}
		count, err := snapshotCount(ctx, tx, snap.OrganizationID)
		if err != nil {
			return err
		}
		if err := allow(count); err != nil {
			return err
		}
		if err := s.mayGrow(); err != nil {
			return err
		}
		if !snap.General && !snap.Transient {
			if err := refuseShared(ctx, tx, snap.Name); err != nil {
				return err
			}
		}
		_, err = tx.NewInsert().Model(s.rowOfSnapshot(snap, nil)).Exec(ctx)
		if s.dialect.isDuplicate(err) {
			return fault.Conflict("SNAPSHOT_EXISTS", fmt.Sprintf("A snapshot named %q exists already: choose another name, or delete it first.", snap.Name))
		}
		return err
	})
}

// refuseShared fails when a snapshot of that name is shared by all organizations:
// one's own would hide it, or be hidden by it.
func refuseShared(ctx context.Context, tx bun.Tx, name string) error {
	n, err := tx.NewSelect().Model((*snapshotRow)(nil)).Where("general AND name = ?", name).Where("state <> ?", snapshot.StateRemoving).Where("replaces = ''").Count(ctx)
	if err != nil || n == 0 {
		return err
	}
	return fault.Conflict("SNAPSHOT_RESERVED", fmt.Sprintf("The name %q is reserved for a snapshot that all organizations share: choose another name.", name))
}

// Snapshot is snapshot.Store.
func (s *Store) Snapshot(ctx context.Context, id string) (*snapshot.Snapshot, error) {
	return s.readSnapshot(ctx, id, func(q *bun.SelectQuery) { q.Where("id = ?", id) })
}

// readSnapshot reads the first that select finds.
func (s *Store) readSnapshot(ctx context.Context, name string, selects func(*bun.SelectQuery)) (snap *snapshot.Snapshot, err error) {
	err = s.inRead(ctx, func(ctx context.Context, tx bun.Tx) error {
		var r snapshotRow
		q := tx.NewSelect().Model(&r)
		selects(q)
		if err := q.Limit(1).Scan(ctx); err != nil {
			return snapshotMissing(err, name)
		}
		var err error
		snap, err = s.oneSnapshot(ctx, tx, &r)
		return err
	})
	return snap, err
}

// UpdateSnapshot is snapshot.Store.
func (s *Store) UpdateSnapshot(ctx context.Context, id string, change func(*snapshot.Snapshot) error) (*snapshot.Snapshot, error) {
	var snap *snapshot.Snapshot
	err := s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		var r snapshotRow
		if err := s.dialect.lockRows(tx.NewSelect().Model(&r).Where("id = ?", id), toChange).Scan(ctx); err != nil {
			return snapshotMissing(err, id)
		}
		var err error
		if snap, err = s.oneSnapshot(ctx, tx, &r); err != nil {
			return err
		}
		if err := change(snap); err != nil {
			return err
		}
		if err := keepDamagedSnapshot(snap); err != nil {
			return err
		}
		return update(ctx, tx, &r, s.rowOfSnapshot(snap, &r))
	})
	if err != nil {
		return nil, err
	}
	return snap, nil
}

// UpdateReplacement is snapshot.Store. Who changes a snapshot or its next content
// has the snapshot's row first.
func (s *Store) UpdateReplacement(ctx context.Context, id string, change func(now, next *snapshot.Snapshot) (*snapshot.Snapshot, error)) (*snapshot.Snapshot, error) {
	var snap *snapshot.Snapshot
	err := s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		var r snapshotRow
		if err := s.dialect.lockRows(tx.NewSelect().Model(&r).Where("id = ?", id).Where("replaces = ''"), toChange).Scan(ctx); err != nil {
			return snapshotMissing(err, id)
		}
		now := s.ofSnapshot(&r)
		var next snapshotRow
		err := s.dialect.lockRows(tx.NewSelect().Model(&next).Where("replaces = ?", id).Where("replaces <> ''").Where("state <> ?", snapshot.StateRemoving), toChange).Scan(ctx)
		if ignoreNone(err) != nil {
			return err
		}
		if err == nil {
			now.Next = s.ofSnapshot(&next)
		}
		newer, err := change(now, now.Next)
		if err != nil {
			return err
		}
		if err := keepDamagedSnapshot(now); err != nil {
			return err
		}
		if err := update(ctx, tx, &r, s.rowOfSnapshot(now, &r)); err != nil {
			return err
		}
		if now.Next != nil {
			if err := update(ctx, tx, &next, s.rowOfSnapshot(now.Next, &next)); err != nil {
				return err
			}
		}
		if newer != nil {
			if _, err := tx.NewInsert().Model(s.rowOfSnapshot(newer, nil)).Exec(ctx); err != nil {
				return err
			}
		}
		snap, err = s.oneSnapshot(ctx, tx, s.rowOfSnapshot(now, &r))
		return err
	})
	if err != nil {
		return nil, err
	}
	return snap, nil
}

// TouchSnapshot is snapshot.Store.
func (s *Store) TouchSnapshot(ctx context.Context, id string, at time.Time) error {
	_, err := s.write.NewUpdate().Model((*snapshotRow)(nil)).Set("last_used_at = ?", at.UTC()).
		Set("used_at = CASE WHEN used_at > ? THEN used_at ELSE ? END", at.UTC(), at.UTC()).Where("id = ?", id).Exec(ctx)
	return err
}

// DeleteSnapshot is snapshot.Store.
func (s *Store) DeleteSnapshot(ctx context.Context, id string) error {
	_, err := s.write.NewDelete().Model((*snapshotRow)(nil)).Where("id = ?", id).Exec(ctx)
	return err
}

// SnapshotsIn is snapshot.Store.
func (s *Store) SnapshotsIn(ctx context.Context, states ...snapshot.State) (all []*snapshot.Snapshot, err error) {
	err = s.inRead(ctx, func(ctx context.Context, tx bun.Tx) error {
		var rows []*snapshotRow
		q := tx.NewSelect().Model(&rows)
		if len(states) > 0 {
			q.Where("state IN (?)", bun.List(states))
		}
		if err := q.OrderExpr("created_at, id").Scan(ctx); err != nil {
			return err
		}
		var err error
		all, err = s.snapshots(ctx, tx, rows...)
		return err
	})
	return all, err
}

// SnapshotsOfOrganization lists an organization's, transient ones and updates too.
func (s *Store) SnapshotsOfOrganization(ctx context.Context, id string) (all []*snapshot.Snapshot, err error) {
	err = s.inRead(ctx, func(ctx context.Context, tx bun.Tx) error {
		var rows []*snapshotRow
		if err := tx.NewSelect().Model(&rows).Where("organization_id = ?", id).OrderExpr("created_at, id").Scan(ctx); err != nil {
			return err
		}
		var err error
		all, err = s.snapshots(ctx, tx, rows...)
		return err
	})
	return all, err
}

// BuiltSnapshot is snapshot.Store.
func (s *Store) BuiltSnapshot(ctx context.Context, ref string, transient bool) (*snapshot.Snapshot, error) {
	return s.readSnapshot(ctx, ref, func(q *bun.SelectQuery) {
		q.Where("build_ref = ?", ref).Where("build_ref <> ''").OrderExpr("created_at")
		if transient {
			q.Where("transient").Where("state <> ?", snapshot.StateRemoving)
		} else {
			q.Where("state = ?", snapshot.StateActive)
		}
	})
}

// ImageInUse is snapshot.Store.
func (s *Store) ImageInUse(ctx context.Context, digest string) (bool, error) {
	return s.read.NewSelect().Model((*sandboxRow)(nil)).Where("image_digest = ?", digest).Exists(ctx)
}

// UnusedSnapshots is snapshot.Store.
func (s *Store) UnusedSnapshots(ctx context.Context, since time.Time, transient bool) ([]*snapshot.Snapshot, error) {
	var rows []*snapshotRow
	states := []snapshot.State{snapshot.StateActive}
	if transient {
		states = append(states, snapshot.StateInactive, snapshot.StateError, snapshot.StateBuildFailed)
	}
	q := s.read.NewSelect().Model(&rows).Where("state IN (?)", bun.List(states)).Where("general = ?", false).Where("transient = ?", transient)
	if err := q.Where("used_at <= ?", since.UTC()).OrderExpr("used_at").Scan(ctx); err != nil {
		return nil, err
	}
	return s.snapshots(ctx, s.read, rows...)
}
