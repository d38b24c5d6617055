package store

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/sandbox"
)

// sortColumns are the columns of the sort fields.
var sortColumns = map[sandbox.SortField]string{
	sandbox.SortName: "name", sandbox.SortCPU: "cpu", sandbox.SortMemory: "memory", sandbox.SortDisk: "disk",
	sandbox.SortLastActivity: "last_activity_at", sandbox.SortCreated: "created_at",
}

// ListSandboxes is sandbox.Store. Its cursor names the last row of the page by
// value, so that rows that come and go move no other.
func (s *Store) ListSandboxes(ctx context.Context, f sandbox.Filter) ([]*sandbox.Sandbox, string, error) {
	var rows []*sandboxRow
	l, err := s.listing(ctx, s.read, f)
	if err != nil {
		return nil, "", err
	}
	q := l.sort(l.from(s.read, s.read.NewSelect().Model(&rows)))
	if f.Cursor != "" {
		value, id, err := parseCursor(f.Cursor, f.Sort)
		if err != nil {
			return nil, "", err
		}
		q.Where("(?, ?) ? (?, ?)", l.column, l.id, l.beyond, value, id)
	}
	if err := q.Limit(int64(f.Limit) + 1).Scan(ctx); err != nil {
		return nil, "", err
	}
	next := ""
	if len(rows) > f.Limit {
		rows = rows[:f.Limit]
		next = cursorOf(rows[f.Limit-1], f.Sort)
	}
	return s.ofSandboxes(rows), next, nil
}

// PageSandboxes is sandbox.Store.
func (s *Store) PageSandboxes(ctx context.Context, f sandbox.Filter, page int) (items []*sandbox.Sandbox, total int, err error) {
	err = s.inRead(ctx, func(ctx context.Context, tx bun.Tx) error {
		l, err := s.listing(ctx, tx, f)
		if err != nil {
			return err
		}
		if total, err = l.count(ctx, tx); err != nil {
			return err
		}
		var rows []*sandboxRow
		q := l.from(tx, tx.NewSelect().Model(&rows)).Limit(int64(f.Limit))
		offset := (page - 1) * f.Limit
		if offset >= total {
			return nil
		}
		// What comes before a page is walked through: of the two ends, from the nearer.
		if size := min(f.Limit, total-offset); offset > total/2 {
			l.reverse()
			q.Limit(int64(size))
			offset = total - offset - size
			defer func() { slices.Reverse(items) }()
		}
		if err := l.sort(q).Offset(int64(offset)).Scan(ctx); err != nil {
			return err
		}
		items = s.ofSandboxes(rows)
		return nil
	})
	return items, total, err
}

// listing is how a list is read.
type listing struct {
	sandbox.Filter
	few        bool      // what it has are few, and are sorted rather than walked to
	label      string    // of several, the one that fewest sandboxes have
	labelled   []string  // their ids, as far as they are few
	byLabel    labelPath // how that is looked for
	column, id bun.Ident // what it is sorted by
	direction  bun.Safe
	beyond     bun.Safe // compares what comes after with a row
}

// labelPath is a way to the sandboxes that have a label.
type labelPath int

const (
	labelChecked labelPath = iota // each in the order of the list is asked for it
	labelSorted                   // the label's own order, by creation, is the list's
	labelFirst                    // those that have it are few
)

// fewAtMost is how many sandboxes are sorted rather than walked through. Databases
// know how many have a value on the average, and not how many have this one.
const fewAtMost = 1000

func (s *Store) listing(ctx context.Context, db bun.IDB, f sandbox.Filter) (*listing, error) {
	column, direction, beyond := order(f)
	l := &listing{Filter: f, column: bun.Ident("s." + column), id: "s.id", direction: bun.Safe(direction), beyond: bun.Safe(beyond)}
	most := fewAtMost
	if column == "created_at" && len(f.Labels) == 1 {
		most = f.Limit + 1 // beyond a page, the label's order is taken
	}
	for _, key := range slices.Sorted(maps.Keys(f.Labels)) {
		var ids []string
		err := db.NewSelect().Table("sandbox_labels").Column("sandbox_id").
			Where("organization_id = ?", f.OrganizationID).Where("key = ?", key).Where("value = ?", f.Labels[key]).Limit(int64(most)).Scan(ctx, &ids)
		if err != nil {
			return nil, err
		}
		if l.label == "" || len(ids) < len(l.labelled) {
			l.label, l.labelled = key, ids
		}
	}
	switch {
	case l.label == "":
	case len(l.labelled) < fewAtMost && (column != "created_at" || len(l.labelled) <= f.Limit):
		l.few, l.byLabel = true, labelFirst
	case column == "created_at":
		l.byLabel, l.column, l.id = labelSorted, "l.created_at", "l.sandbox_id"
	}
	if !l.few && (f.NamePrefix != "" || f.IDPrefix != "") {
		only := &listing{Filter: sandbox.Filter{OrganizationID: f.OrganizationID, NamePrefix: f.NamePrefix, IDPrefix: f.IDPrefix}}
		n, err := countFew(ctx, db, only.filter(db.NewSelect().Model((*sandboxRow)(nil))))
		if err != nil {
			return nil, err
		}
		if n < fewAtMost && !f.Warm {
			// The label's rows are not seen outside of those few.
			l.few, l.column, l.id = true, bun.Ident("s."+column), "s.id"
		}
	}
	return l, nil
}

// countFew counts what q selects, up to fewAtMost.
func countFew(ctx context.Context, db bun.IDB, q *bun.SelectQuery) (int, error) {
	n, err := db.NewSelect().TableExpr("(?) AS few", q.ColumnExpr("1").Limit(fewAtMost)).Count(ctx)
	return int(n), err
}

// from lets q select what the list has. Of few, that is done before anything else:
// a database that saw the order and the limit of the page would walk through the
// order's index, for the next few of which it expects to meet some.
func (l *listing) from(db bun.IDB, q *bun.SelectQuery) *bun.SelectQuery {
	if !l.few {
		return l.filter(q)
	}
	return q.ModelTableExpr("(?) AS s", l.filter(db.NewSelect().Model((*sandboxRow)(nil))).Limit(fewAtMost))
}

func (l *listing) sort(q *bun.SelectQuery) *bun.SelectQuery {
	return q.OrderExpr("? ?, ? ?", l.column, l.direction, l.id, l.direction)
}

func (l *listing) reverse() {
	if l.direction == "ASC" {
		l.direction = "DESC"
	} else {
		l.direction = "ASC"
	}
}

// count is how many the list has.
func (l *listing) count(ctx context.Context, db bun.IDB) (n int, err error) {
	only := l.Filter
	only.Sort, only.Descending, only.Cursor, only.Limit, only.States, only.Warm, only.OrganizationID = "", false, "", 0, nil, false, ""
	if !reflect.ValueOf(only).IsZero() {
		n, err := l.filter(db.NewSelect().Model((*sandboxRow)(nil))).Count(ctx)
		return int(n), err
	}
	q := db.NewSelect().Model((*sandboxCountRow)(nil)).ColumnExpr("CAST(COALESCE(SUM(sandboxes), 0) AS BIGINT)").Where("organization_id = ?", l.OrganizationID)
	if !l.Warm {
		q.Where("NOT warm")
	}
	if len(l.States) > 0 {
		q.Where("state IN (?)", bun.List(l.States))
	}
	err = q.Scan(ctx, &n)
	return n, err
}

func order(f sandbox.Filter) (column, direction, beyond string) {
	column = sortColumns[f.Sort]
	if column == "" {
		column = "created_at"
	}
	if f.Descending {
		return column, "DESC", "<"
	}
	return column, "ASC", ">"
}

// filter lets q select what the list has.
func (l *listing) filter(q *bun.SelectQuery) *bun.SelectQuery {
	if l.byLabel == labelFirst {
		// The ids are known: no index of the organization's is to be taken for them.
		q.Where("s.organization_id || '' = ?", l.OrganizationID)
	} else {
		q.Where("s.organization_id = ?", l.OrganizationID)
	}
	if !l.Warm {
		q.Where("s.warm_pool_id = ''")
	}
	if l.IDPrefix != "" {
		prefix := strings.ToLower(l.IDPrefix)
		q.Where("s.id >= ? AND s.id < ?", prefix, beyondPrefix(prefix))
	}
	if l.NamePrefix != "" {
		prefix := strings.ToLower(l.NamePrefix)
		q.Where("LOWER(s.name) >= ? AND LOWER(s.name) < ?", prefix, beyondPrefix(prefix))
	}
	l.filterLabels(q)
	if len(l.States) > 0 {
		q.Where("s.state IN (?)", bun.List(l.States))
	}
	if len(l.Snapshots) > 0 {
		l.filterSnapshots(q)
	}
	if len(l.Regions) > 0 {
		q.Where("s.region IN (?)", bun.List(l.Regions))
	}
	if l.Public != nil {
		q.Where("s.public = ?", *l.Public)
	}
	if l.Recoverable != nil {
		q.Where("s.recoverable = ?", *l.Recoverable)
	}
	for column, r := range map[bun.Ident]sandbox.Range{"s.cpu": l.CPU, "s.memory": l.Memory, "s.disk": l.Disk} {
		if r.Min != nil {
			q.Where("? >= ?", column, *r.Min)
		}
		if r.Max != nil {
			q.Where("? <= ?", column, *r.Max)
		}
	}
	for column, r := range map[bun.Ident]sandbox.TimeRange{"s.created_at": l.Created, "s.updated_at": l.Event, "s.destroy_at": l.Destroy} {
		if r.After != nil {
			q.Where("? > ?", column, r.After.UTC())
		}
		if r.Before != nil {
			q.Where("? < ?", column, r.Before.UTC())
		}
	}
	return q
}

func (l *listing) filterLabels(q *bun.SelectQuery) {
	for _, key := range slices.Sorted(maps.Keys(l.Labels)) {
		const has = "l.organization_id = ? AND l.key = ? AND l.value = ?"
		args := []any{l.OrganizationID, key, l.Labels[key]}
		switch {
		case key == l.label && l.byLabel == labelSorted:
			q.Join("JOIN sandbox_labels AS l ON l.sandbox_id = s.id").Where(has, args...)
		case key == l.label && l.byLabel == labelFirst:
			q.Where("s.id IN (?)", bun.List(append(l.labelled, ""))) // no id is empty, and no list may be
		default:
			q.Where("EXISTS (SELECT 1 FROM sandbox_labels AS l WHERE l.created_at = s.created_at AND l.sandbox_id = s.id AND "+has+")", args...)
		}
	}
}

// filterSnapshots takes names, and ids where a text may be one: an OR of two
// columns has no order of its own.
func (l *listing) filterSnapshots(q *bun.SelectQuery) {
	var ids []string
	for _, s := range l.Snapshots {
		if isID(s) {
			ids = append(ids, s)
		}
	}
	if len(ids) == 0 {
		q.Where("s.snapshot IN (?)", bun.List(l.Snapshots))
		return
	}
	q.Where("(s.snapshot IN (?) OR s.snapshot_id IN (?))", bun.List(l.Snapshots), bun.List(ids))
}
