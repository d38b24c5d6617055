package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/snapshot"
)

type snapshotRow struct {
	bun.BaseModel `bun:"table:snapshots"`

	ID              string `bun:",pk"`
	OrganizationID  string
	General         bool
	Name            string
	ImageName       string
	State           snapshot.State
	ErrorReason     string
	RegionIDs       []string `bun:"region_ids,type:text"`
	CPU             int      `bun:"cpu"`
	Memory          int
	Disk            int
	Entrypoint      []string `bun:"type:text"`
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
}

func rowOfSnapshot(s *snapshot.Snapshot) *snapshotRow {
	r := &snapshotRow{
		ID: s.ID, OrganizationID: s.OrganizationID, General: s.General, Name: s.Name, ImageName: s.ImageName, State: s.State,
		ErrorReason: s.ErrorReason, RegionIDs: notNil(s.RegionIDs), CPU: s.Resources.CPU, Memory: s.Resources.Memory, Disk: s.Resources.Disk,
		Entrypoint: notNil(s.Entrypoint), ImageDigest: s.ImageDigest, Size: s.Size, UserName: s.User,
		EntrypointGiven: s.EntrypointGiven, Transient: s.Transient, Revision: s.Revision, Replaces: s.Replaces, SourceSandboxID: s.SourceSandboxID,
		CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC(), LastUsedAt: utc(s.LastUsedAt),
	}
	if s.Build != nil {
		text, _ := json.Marshal(s.Build) // of plain fields, which never fails
		r.Build, r.BuildRef = string(text), s.Build.Ref
	}
	return r
}

func (r *snapshotRow) snapshot() *snapshot.Snapshot {
	s := &snapshot.Snapshot{
		ID: r.ID, OrganizationID: r.OrganizationID, General: r.General, Name: r.Name, Transient: r.Transient, Replaces: r.Replaces,
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, LastUsedAt: r.LastUsedAt,
		Content: snapshot.Content{
			Revision: r.Revision, ImageName: r.ImageName, State: r.State, ErrorReason: r.ErrorReason, RegionIDs: r.RegionIDs,
			Resources:  snapshot.Resources{CPU: r.CPU, Memory: r.Memory, Disk: r.Disk},
			Entrypoint: r.Entrypoint, EntrypointGiven: r.EntrypointGiven, ImageDigest: r.ImageDigest, Size: r.Size, User: r.UserName,
			SourceSandboxID: r.SourceSandboxID,
		},
	}
	if r.Build != "" {
		s.Build = &snapshot.Build{}
		_ = json.Unmarshal([]byte(r.Build), s.Build) // written above
	}
	return s
}

// snapshots are the rows' snapshots, each with its Next, which is read along.
func snapshots(ctx context.Context, db bun.IDB, rows ...*snapshotRow) ([]*snapshot.Snapshot, error) {
	out, byID := make([]*snapshot.Snapshot, len(rows)), make(map[string]*snapshot.Snapshot, len(rows))
	ids := make([]string, len(rows))
	for i, r := range rows {
		out[i] = r.snapshot()
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
		if s := byID[r.Replaces]; s != nil {
			s.Next = r.snapshot()
		}
	}
	return out, nil
}

// maxListed is how many values a list in a query may have; beyond, all rows are
// looked at.
const maxListed = 500

// oneSnapshot is snapshots for one.
func oneSnapshot(ctx context.Context, db bun.IDB, r *snapshotRow) (*snapshot.Snapshot, error) {
	all, err := snapshots(ctx, db, r)
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
		count, err := tx.NewSelect().Model((*snapshotRow)(nil)).
			Where("organization_id = ?", snap.OrganizationID).Where("state <> ?", snapshot.StateRemoving).Where("NOT transient AND replaces = ''").Count(ctx)
		if err != nil {
			return err
		}
		if err := allow(int(count)); err != nil {
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
		_, err = tx.NewInsert().Model(rowOfSnapshot(snap)).Exec(ctx)
		if isDuplicate(err) {
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
		snap, err = oneSnapshot(ctx, tx, &r)
		return err
	})
	return snap, err
}

// FindSnapshot is snapshot.Store.
func (s *Store) FindSnapshot(ctx context.Context, organizationID, idOrName string) (*snapshot.Snapshot, error) {
	return s.readSnapshot(ctx, idOrName, func(q *bun.SelectQuery) {
		// One's own before general ones, those that stay before those that go, and
		// an id before a name that looks like it.
		q.Where("(organization_id = ? OR general)", organizationID).
			Where("(id = ? OR name = ?)", idOrName, idOrName).Where("replaces = ''").
			OrderExpr("organization_id = ? DESC, state = 'removing', id = ? DESC, created_at DESC", organizationID, idOrName)
	})
}

// FindDefault is snapshot.Store.
func (s *Store) FindDefault(ctx context.Context, organizationID, name string) (*snapshot.Snapshot, error) {
	return s.readSnapshot(ctx, name, func(q *bun.SelectQuery) {
		q.Where("(organization_id = ? OR general)", organizationID).Where("name = ?", name).Where("NOT transient AND replaces = ''").
			OrderExpr("state = 'removing', state IN (?), general DESC, created_at DESC", bun.List([]snapshot.State{snapshot.StateError, snapshot.StateBuildFailed}))
	})
}

// ListSnapshots is snapshot.Store.
func (s *Store) ListSnapshots(ctx context.Context, f snapshot.Filter) (page []*snapshot.Snapshot, total int, err error) {
	err = s.inRead(ctx, func(ctx context.Context, tx bun.Tx) error {
		var rows []*snapshotRow
		n, err := selectPage(tx.NewSelect().Model(&rows), f).ScanAndCount(ctx)
		if err != nil {
			return err
		}
		total = int(n)
		page, err = snapshots(ctx, tx, rows...)
		return err
	})
	return page, total, err
}

func selectPage(q *bun.SelectQuery, f snapshot.Filter) *bun.SelectQuery {
	q.Where("(organization_id = ? OR general)", f.OrganizationID).Where("NOT transient AND replaces = ''")
	if f.Name != "" {
		q.Where("name LIKE ? ESCAPE '\\'", "%"+escapeLike(f.Name)+"%")
	}
	if f.SourceSandbox != "" {
		q.Where("source_sandbox_id = ?", f.SourceSandbox).Where("source_sandbox_id <> ''")
	}
	q.OrderExpr("general")
	switch {
	case f.Sort == "":
		q.OrderExpr("created_at DESC")
	case slices.Contains(snapshot.SortFields, f.Sort):
		column := map[string]string{"lastUsedAt": "last_used_at", "createdAt": "created_at"}[f.Sort]
		if column == "" {
			column = f.Sort
		}
		if f.Descending {
			column += " DESC"
		}
		q.OrderExpr(column)
	}
	return q.OrderExpr("id").Limit(int64(f.Limit)).Offset(int64(f.Page-1) * int64(f.Limit))
}

// UpdateSnapshot is snapshot.Store.
func (s *Store) UpdateSnapshot(ctx context.Context, id string, change func(*snapshot.Snapshot) error) (*snapshot.Snapshot, error) {
	var snap *snapshot.Snapshot
	err := s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		var r snapshotRow
		if err := tx.NewSelect().Model(&r).Where("id = ?", id).Scan(ctx); err != nil {
			return snapshotMissing(err, id)
		}
		var err error
		if snap, err = oneSnapshot(ctx, tx, &r); err != nil {
			return err
		}
		if err := change(snap); err != nil {
			return err
		}
		_, err = tx.NewUpdate().Model(rowOfSnapshot(snap)).WherePK().Exec(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return snap, nil
}

// UpdateReplacement is snapshot.Store.
func (s *Store) UpdateReplacement(ctx context.Context, id string, change func(now, next *snapshot.Snapshot) (*snapshot.Snapshot, error)) (*snapshot.Snapshot, error) {
	var snap *snapshot.Snapshot
	err := s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		var r snapshotRow
		if err := tx.NewSelect().Model(&r).Where("id = ?", id).Where("replaces = ''").Scan(ctx); err != nil {
			return snapshotMissing(err, id)
		}
		now, err := oneSnapshot(ctx, tx, &r)
		if err != nil {
			return err
		}
		newer, err := change(now, now.Next)
		if err != nil {
			return err
		}
		for _, changed := range []*snapshot.Snapshot{now, now.Next} {
			if changed == nil {
				continue
			}
			if _, err := tx.NewUpdate().Model(rowOfSnapshot(changed)).WherePK().Exec(ctx); err != nil {
				return err
			}
		}
		if newer != nil {
			if _, err := tx.NewInsert().Model(rowOfSnapshot(newer)).Exec(ctx); err != nil {
				return err
			}
		}
		snap, err = oneSnapshot(ctx, tx, rowOfSnapshot(now))
		return err
	})
	if err != nil {
		return nil, err
	}
	return snap, nil
}

// TouchSnapshot is snapshot.Store.
func (s *Store) TouchSnapshot(ctx context.Context, id string, at time.Time) error {
	_, err := s.write.NewUpdate().Model((*snapshotRow)(nil)).Set("last_used_at = ?", at.UTC()).Where("id = ?", id).Exec(ctx)
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
		all, err = snapshots(ctx, tx, rows...)
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

// SandboxesOfImage is snapshot.Store.
func (s *Store) SandboxesOfImage(ctx context.Context, digest string) (int, error) {
	n, err := s.read.NewSelect().Model((*sandboxRow)(nil)).Where("image_digest = ?", digest).Count(ctx)
	return int(n), err
}

// escapeLike takes their meaning from the wildcards of LIKE.
func escapeLike(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s)
}

// notNil keeps an empty list [] in its column, not null.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
