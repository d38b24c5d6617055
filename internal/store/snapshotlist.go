package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/snapshot"
)

// FindSnapshot is snapshot.Store. An id is nobody else's name; of a name, one's own
// come before general ones, and those that stay before those that go. Each of these
// has its index.
func (s *Store) FindSnapshot(ctx context.Context, organizationID, idOrName string) (snap *snapshot.Snapshot, err error) {
	err = s.inRead(ctx, func(ctx context.Context, tx bun.Tx) error {
		var r snapshotRow
		find := func(where string, args ...any) error {
			return tx.NewSelect().Model(&r).Where(where, args...).Where("replaces = ''").
				OrderExpr("state = ?, created_at DESC", snapshot.StateRemoving).Limit(1).Scan(ctx)
		}
		err := error(sql.ErrNoRows)
		if isID(idOrName) {
			err = find("id = ? AND (organization_id = ? OR general)", idOrName, organizationID)
		}
		if errors.Is(err, sql.ErrNoRows) {
			err = find("organization_id = ? AND name = ?", organizationID, idOrName)
		}
		if errors.Is(err, sql.ErrNoRows) {
			err = find("general AND name = ?", idOrName)
		}
		if err != nil {
			return snapshotMissing(err, idOrName)
		}
		snap, err = s.oneSnapshot(ctx, tx, &r)
		return err
	})
	return snap, err
}

// NamedSnapshots is snapshot.Store.
func (s *Store) NamedSnapshots(ctx context.Context, organizationID string, names []string) (map[string]*snapshot.Snapshot, error) {
	found := make(map[string]*snapshot.Snapshot, len(names))
	if len(names) == 0 {
		return found, nil
	}
	err := s.inRead(ctx, func(ctx context.Context, tx bun.Tx) error {
		for _, whose := range []func(q *bun.SelectQuery){
			func(q *bun.SelectQuery) { q.Where("organization_id = ?", organizationID) },
			func(q *bun.SelectQuery) { q.Where("general") },
		} {
			for some := range slices.Chunk(names, maxListed) {
				var rows []*snapshotRow
				q := tx.NewSelect().Model(&rows).Where("name IN (?)", bun.List(some)).Where("replaces = ''")
				whose(q)
				if err := q.OrderExpr("state = ?, created_at DESC", snapshot.StateRemoving).Scan(ctx); err != nil {
					return err
				}
				all, err := s.snapshots(ctx, tx, rows...)
				if err != nil {
					return err
				}
				for _, snap := range all {
					if _, better := found[snap.Name]; !better {
						found[snap.Name] = snap
					}
				}
			}
		}
		return nil
	})
	return found, err
}

// FindDefault is snapshot.Store.
func (s *Store) FindDefault(ctx context.Context, organizationID, name string) (snap *snapshot.Snapshot, err error) {
	failed := []snapshot.State{snapshot.StateError, snapshot.StateBuildFailed}
	err = s.inRead(ctx, func(ctx context.Context, tx bun.Tx) error {
		var found []*snapshotRow
		find := func(where string, args ...any) error {
			var r snapshotRow
			err := tx.NewSelect().Model(&r).Where(where, args...).Where("name = ?", name).Where("NOT transient AND replaces = ''").
				OrderExpr("state = ?, state IN (?), created_at DESC", snapshot.StateRemoving, bun.List(failed)).Limit(1).Scan(ctx)
			if err == nil {
				found = append(found, &r)
			}
			return ignoreNone(err)
		}
		if err := find("general"); err != nil {
			return err
		}
		if err := find("organization_id = ?", organizationID); err != nil {
			return err
		}
		if len(found) == 0 {
			return snapshotMissing(sql.ErrNoRows, name)
		}
		last := func(r *snapshotRow) int { // of two alike, the general one is first
			switch {
			case r.State == snapshot.StateRemoving:
				return 2
			case slices.Contains(failed, r.State):
				return 1
			}
			return 0
		}
		best := slices.MinFunc(found, func(a, b *snapshotRow) int { return cmp.Compare(last(a), last(b)) })
		snap, err = s.oneSnapshot(ctx, tx, best)
		return err
	})
	return snap, err
}

// ListSnapshots is snapshot.Store. One's own come before general ones, so a page is
// of the ones, of the others, or of both: each has its index.
func (s *Store) ListSnapshots(ctx context.Context, f snapshot.Filter) (page []*snapshot.Snapshot, total int, err error) {
	err = s.inRead(ctx, func(ctx context.Context, tx bun.Tx) error {
		var rows []*snapshotRow
		skip := (f.Page - 1) * f.Limit
		for _, part := range []snapshotPart{{f, false}, {f, true}} {
			n, err := part.count(ctx, tx)
			if err != nil {
				return err
			}
			total += n
			if left := f.Limit - len(rows); left > 0 && skip < n {
				var some []*snapshotRow
				q := tx.NewSelect().Model(&some)
				if f.Name != "" && n <= maxListed {
					// Few match: they are found in the index of names, and sorted.
					q.Where("id IN (?)", part.filter(tx.NewSelect().Model((*snapshotRow)(nil)).Column("id")))
				} else {
					part.filter(q)
				}
				if err := part.sort(q).Offset(int64(skip)).Limit(int64(left)).Scan(ctx); err != nil {
					return err
				}
				rows = append(rows, some...)
			}
			skip = max(0, skip-n)
		}
		page, err = s.snapshots(ctx, tx, rows...)
		return err
	})
	return page, total, err
}

// snapshotPart is what a list has of one's own snapshots, or of the general ones.
type snapshotPart struct {
	snapshot.Filter
	general bool
}

func (p snapshotPart) filter(q *bun.SelectQuery) *bun.SelectQuery {
	q.Where("NOT transient AND replaces = ''")
	if p.general {
		q.Where("general")
	} else {
		q.Where("general = ?", false).Where("organization_id = ?", p.OrganizationID)
	}
	if p.Name != "" {
		q.Where("LOWER(name) LIKE ? ESCAPE '\\'", "%"+escapeLike(strings.ToLower(p.Name))+"%")
	}
	if p.SourceSandbox != "" {
		q.Where("source_sandbox_id = ?", p.SourceSandbox).Where("source_sandbox_id <> ''")
	}
	return q
}

// count adds up what the triggers have counted, unless there is a filter.
func (p snapshotPart) count(ctx context.Context, db bun.IDB) (n int, err error) {
	if p.Name != "" || p.SourceSandbox != "" {
		n, err := p.filter(db.NewSelect().Model((*snapshotRow)(nil))).Count(ctx)
		return int(n), err
	}
	q := db.NewSelect().Model((*snapshotCountRow)(nil)).ColumnExpr("CAST(COALESCE(SUM(snapshots), 0) AS BIGINT)").Where("listed")
	if p.general {
		q.Where("general")
	} else {
		q.Where("general = ?", false).Where("organization_id = ?", p.OrganizationID)
	}
	err = q.Scan(ctx, &n)
	return n, err
}

func (p snapshotPart) sort(q *bun.SelectQuery) *bun.SelectQuery {
	switch {
	case p.Sort == "":
		return q.OrderExpr("created_at DESC, id DESC")
	case slices.Contains(snapshot.SortFields, p.Sort):
		column := map[string]string{"lastUsedAt": "last_used_at", "createdAt": "created_at"}[p.Sort]
		if column == "" {
			column = p.Sort
		}
		if p.Descending {
			return q.OrderExpr("? DESC, id DESC", bun.Ident(column))
		}
		return q.OrderExpr("?, id", bun.Ident(column))
	}
	return q.OrderExpr("id")
}
