package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

type sandboxRow struct {
	bun.BaseModel `bun:"table:sandboxes"`

	ID             string `bun:",pk"`
	OrganizationID string
	Name           string
	SnapshotID     string
	Snapshot       string
	ImageDigest    string
	Region         string
	State          sandbox.State
	Desired        sandbox.Desired
	ErrorReason    string
	Recoverable    bool
	UserName       string
	Entrypoint     []string          `bun:"type:text"`
	Env            map[string]string `bun:"type:text"`
	Labels         map[string]string `bun:"type:text"`
	Public         bool
	CPU            int `bun:"cpu"`
	Memory         int
	Disk           int
	Network        sandbox.Network `bun:"type:text"`
	AutoStop       time.Duration
	AutoArchive    time.Duration
	AutoDelete     time.Duration
	DestroyAt      *time.Time
	CreatedAt      time.Time
	UpdatedAt      time.Time
	LastActivityAt time.Time
	StoppedAt      *time.Time
	ParentID       string
	RootID         string
	CopyOf         string
	WarmPoolID     string
	Claimed        bool
	Stops          int
}

func rowOfSandbox(s *sandbox.Sandbox) *sandboxRow {
	return &sandboxRow{
		ID: s.ID, OrganizationID: s.OrganizationID, Name: s.Name, SnapshotID: s.SnapshotID, Snapshot: s.Snapshot,
		ImageDigest: s.ImageDigest, Region: s.Region, State: s.State, Desired: s.Desired, ErrorReason: s.ErrorReason,
		Recoverable: s.Recoverable, UserName: s.User, Entrypoint: notNil(s.Entrypoint), Env: notNilMap(s.Env), Labels: notNilMap(s.Labels),
		Public: s.Public, CPU: s.Resources.CPU, Memory: s.Resources.Memory, Disk: s.Resources.Disk, Network: s.Network,
		AutoStop: s.AutoStop, AutoArchive: s.AutoArchive, AutoDelete: s.AutoDelete, DestroyAt: utc(s.DestroyAt),
		CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC(), LastActivityAt: s.LastActivityAt.UTC(), StoppedAt: utc(s.StoppedAt),
		ParentID: s.ParentID, RootID: s.RootID, CopyOf: s.CopyOf, WarmPoolID: s.WarmPoolID, Claimed: s.Claimed, Stops: s.Stops,
	}
}

func (r *sandboxRow) sandbox() *sandbox.Sandbox {
	return &sandbox.Sandbox{
		ID: r.ID, OrganizationID: r.OrganizationID, Name: r.Name, SnapshotID: r.SnapshotID, Snapshot: r.Snapshot,
		ImageDigest: r.ImageDigest, Region: r.Region, State: r.State, Desired: r.Desired, ErrorReason: r.ErrorReason,
		Recoverable: r.Recoverable, User: r.UserName, Entrypoint: r.Entrypoint, Env: r.Env, Labels: r.Labels,
		Public: r.Public, Resources: sandbox.Resources{CPU: r.CPU, Memory: r.Memory, Disk: r.Disk}, Network: r.Network,
		AutoStop: r.AutoStop, AutoArchive: r.AutoArchive, AutoDelete: r.AutoDelete, DestroyAt: r.DestroyAt,
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, LastActivityAt: r.LastActivityAt, StoppedAt: r.StoppedAt,
		ParentID: r.ParentID, RootID: r.RootID, CopyOf: r.CopyOf, WarmPoolID: r.WarmPoolID, Claimed: r.Claimed, Stops: r.Stops,
	}
}

func sandboxes(rows []*sandboxRow) []*sandbox.Sandbox {
	out := make([]*sandbox.Sandbox, len(rows))
	for i, r := range rows {
		out[i] = r.sandbox()
	}
	return out
}

func sandboxMissing(err error, idOrName string) error {
	return missing(err, "SANDBOX_NOT_FOUND", "Sandbox %q does not exist.", idOrName)
}

// running are the states in which a sandbox takes cores and memory, or soon will.
var running = []sandbox.State{
	sandbox.StatePendingBuild, sandbox.StateBuilding, sandbox.StatePulling, sandbox.StateCreating, sandbox.StateStarting, sandbox.StateStarted, sandbox.StateStopping, sandbox.StateSnapshotting,
}

// Usage is what the organization's sandboxes take.
func (s *Store) Usage(ctx context.Context, organizationID string) (sandbox.Usage, error) {
	return usage(ctx, s.read, organizationID)
}

func usage(ctx context.Context, db bun.IDB, organizationID string) (sandbox.Usage, error) {
	var u sandbox.Usage
	err := db.NewSelect().Model((*sandboxRow)(nil)).
		ColumnExpr("COALESCE(SUM(CASE WHEN state IN (?) THEN cpu ELSE 0 END), 0)", bun.List(running)).
		ColumnExpr("COALESCE(SUM(CASE WHEN state IN (?) THEN memory ELSE 0 END), 0)", bun.List(running)).
		ColumnExpr("COALESCE(SUM(disk), 0)").ColumnExpr("COUNT(*)").
		Where("organization_id = ?", organizationID).Scan(ctx, &u.CPU, &u.Memory, &u.Disk, &u.Sandboxes)
	return u, err
}

// SnapshotCount is how many snapshots the organization has.
func (s *Store) SnapshotCount(ctx context.Context, organizationID string) (int, error) {
	n, err := s.read.NewSelect().Model((*snapshotRow)(nil)).Where("organization_id = ?", organizationID).
		Where("state <> ?", snapshot.StateRemoving).Where("NOT transient AND replaces = ''").Count(ctx)
	return int(n), err
}

// InsertSandbox is sandbox.Store.
func (s *Store) InsertSandbox(ctx context.Context, sb *sandbox.Sandbox, allow func(sandbox.Usage) error) error {
	return s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		used, err := usage(ctx, tx, sb.OrganizationID)
		if err != nil {
			return err
		}
		if err := allow(used); err != nil {
			return err
		}
		// Custody of images rests on this: no sandbox begins to stand on an
		// image that the snapshot has let go of.
		q := tx.NewSelect().Model((*snapshotRow)(nil)).Where("id = ?", sb.SnapshotID)
		if sb.ImageDigest == "" {
			q.Where("state <> ?", snapshot.StateRemoving)
		} else {
			q.Where("state = ?", snapshot.StateActive).Where("image_digest = ?", sb.ImageDigest)
		}
		there, err := q.Exists(ctx)
		if err != nil {
			return err
		}
		if !there {
			return sandbox.ErrSnapshotMoved
		}
		return s.insertSandbox(ctx, tx, sb)
	})
}

func (s *Store) insertSandbox(ctx context.Context, tx bun.Tx, sb *sandbox.Sandbox) error {
	if err := s.mayGrow(); err != nil {
		return err
	}
	_, err := tx.NewInsert().Model(rowOfSandbox(sb)).Exec(ctx)
	if isDuplicate(err) {
		return nameTaken(sb.Name)
	}
	return err
}

// AdoptSandbox is sandbox.Store.
func (s *Store) AdoptSandbox(ctx context.Context, sb *sandbox.Sandbox) error {
	return s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error { return s.insertSandbox(ctx, tx, sb) })
}

func nameTaken(name string) error {
	return fault.Conflict("SANDBOX_EXISTS", fmt.Sprintf("A sandbox named %q exists already: choose another name, or delete it first.", name))
}

// InsertFork is sandbox.Store. The parent's row keeps the image: as long as it
// is there, custody counts it, and from then on the fork's.
func (s *Store) InsertFork(ctx context.Context, sb *sandbox.Sandbox, allow func(sandbox.Usage) error) error {
	return s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		used, err := usage(ctx, tx, sb.OrganizationID)
		if err != nil {
			return err
		}
		if err := allow(used); err != nil {
			return err
		}
		there, err := tx.NewSelect().Model((*sandboxRow)(nil)).Where("id = ?", sb.ParentID).Where("desired <> ?", sandbox.DesiredDestroyed).Exists(ctx)
		if err != nil {
			return err
		}
		if !there {
			return fault.Conflict("SANDBOX_STATE", "The sandbox is being deleted and cannot be forked any more.")
		}
		return s.insertSandbox(ctx, tx, sb)
	})
}

// Sandbox is sandbox.Store.
func (s *Store) Sandbox(ctx context.Context, id string) (*sandbox.Sandbox, error) {
	var r sandboxRow
	if err := s.read.NewSelect().Model(&r).Where("id = ?", id).Scan(ctx); err != nil {
		return nil, sandboxMissing(err, id)
	}
	return r.sandbox(), nil
}

// FindSandbox is sandbox.Store.
func (s *Store) FindSandbox(ctx context.Context, organizationID, idOrName string) (*sandbox.Sandbox, error) {
	var r sandboxRow
	err := s.read.NewSelect().Model(&r).Where("organization_id = ?", organizationID).Where("(id = ? OR name = ?)", idOrName, idOrName).Where("warm_pool_id = ''").
		OrderExpr("id = ? DESC, desired = ?, created_at DESC", idOrName, sandbox.DesiredDestroyed).Limit(1).Scan(ctx)
	if err != nil {
		return nil, sandboxMissing(err, idOrName)
	}
	return r.sandbox(), nil
}

// UpdateSandbox is sandbox.Store.
func (s *Store) UpdateSandbox(ctx context.Context, id string, change func(*sandbox.Sandbox) error) (*sandbox.Sandbox, error) {
	return s.changeSandbox(ctx, id, func(_ context.Context, _ bun.Tx, sb *sandbox.Sandbox) error { return change(sb) })
}

// changeSandbox is UpdateSandbox for changes that look at other rows too.
func (s *Store) changeSandbox(ctx context.Context, id string, change func(context.Context, bun.Tx, *sandbox.Sandbox) error) (*sandbox.Sandbox, error) {
	var sb *sandbox.Sandbox
	err := s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		var r sandboxRow
		if err := tx.NewSelect().Model(&r).Where("id = ?", id).Scan(ctx); err != nil {
			return sandboxMissing(err, id)
		}
		sb = r.sandbox()
		if err := change(ctx, tx, sb); err != nil {
			return err
		}
		_, err := tx.NewUpdate().Model(rowOfSandbox(sb)).WherePK().Exec(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return sb, nil
}

// TouchSandboxes is sandbox.Store.
func (s *Store) TouchSandboxes(ctx context.Context, at map[string]time.Time) error {
	return s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		for id, t := range at {
			_, err := tx.NewUpdate().Model((*sandboxRow)(nil)).Set("last_activity_at = ?", t.UTC()).
				Where("id = ?", id).Where("last_activity_at < ?", t.UTC()).Exec(ctx)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteSandbox is sandbox.Store.
func (s *Store) DeleteSandbox(ctx context.Context, id string) error {
	return s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		var r sandboxRow
		err := tx.NewSelect().Model(&r).Where("id = ?", id).Scan(ctx)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		return depart(ctx, tx, &r)
	})
}

// AllSandboxes is sandbox.Store.
func (s *Store) AllSandboxes(ctx context.Context) ([]*sandbox.Sandbox, error) {
	var rows []*sandboxRow
	err := s.read.NewSelect().Model(&rows).OrderExpr("created_at, id").Scan(ctx)
	return sandboxes(rows), err
}

// DueSandboxes is sandbox.Store. The rows that can be due are few beside those
// that are not; the sandbox itself judges.
func (s *Store) DueSandboxes(ctx context.Context, now time.Time) ([]*sandbox.Sandbox, error) {
	all, err := s.AllSandboxes(ctx)
	due := all[:0]
	for _, sb := range all {
		if sb.Due(now) != "" {
			due = append(due, sb)
		}
	}
	return due, err
}

// SandboxesOfSnapshot is sandbox.Store.
func (s *Store) SandboxesOfSnapshot(ctx context.Context, snapshotID string, states ...sandbox.State) ([]*sandbox.Sandbox, error) {
	var rows []*sandboxRow
	err := s.read.NewSelect().Model(&rows).Where("snapshot_id = ?", snapshotID).Where("state IN (?)", bun.List(states)).Scan(ctx)
	return sandboxes(rows), err
}

// sortColumns are the columns of the sort fields.
var sortColumns = map[sandbox.SortField]string{
	sandbox.SortName: "name", sandbox.SortCPU: "cpu", sandbox.SortMemory: "memory", sandbox.SortDisk: "disk",
	sandbox.SortLastActivity: "last_activity_at", sandbox.SortCreated: "created_at",
}

// ListSandboxes is sandbox.Store. Its cursor names the last row of the page by
// value, so that rows that come and go move no other.
func (s *Store) ListSandboxes(ctx context.Context, f sandbox.Filter) ([]*sandbox.Sandbox, string, error) {
	var rows []*sandboxRow
	q := filterSandboxes(s.read.NewSelect().Model(&rows), f)
	column, direction, beyond := order(f)
	if f.Cursor != "" {
		value, id, err := parseCursor(f.Cursor, f.Sort)
		if err != nil {
			return nil, "", err
		}
		q.Where("(?, id) "+beyond+" (?, ?)", bun.Ident(column), value, id)
	}
	err := q.OrderExpr("? "+direction+", id "+direction, bun.Ident(column)).Limit(int64(f.Limit) + 1).Scan(ctx)
	if err != nil {
		return nil, "", err
	}
	next := ""
	if len(rows) > f.Limit {
		rows = rows[:f.Limit]
		next = cursorOf(rows[f.Limit-1], f.Sort)
	}
	return sandboxes(rows), next, nil
}

// PageSandboxes is sandbox.Store.
func (s *Store) PageSandboxes(ctx context.Context, f sandbox.Filter, page int) ([]*sandbox.Sandbox, int, error) {
	var rows []*sandboxRow
	column, direction, _ := order(f)
	total, err := filterSandboxes(s.read.NewSelect().Model(&rows), f).
		OrderExpr("? "+direction+", id "+direction, bun.Ident(column)).Limit(int64(f.Limit)).Offset(int64(page-1) * int64(f.Limit)).ScanAndCount(ctx)
	return sandboxes(rows), int(total), err
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

func filterSandboxes(q *bun.SelectQuery, f sandbox.Filter) *bun.SelectQuery {
	q.Where("organization_id = ?", f.OrganizationID)
	if !f.Warm {
		q.Where("warm_pool_id = ''")
	}
	if f.IDPrefix != "" {
		q.Where("id LIKE ? ESCAPE '\\'", escapeLike(strings.ToLower(f.IDPrefix))+"%")
	}
	if f.NamePrefix != "" {
		q.Where("LOWER(name) LIKE ? ESCAPE '\\'", escapeLike(strings.ToLower(f.NamePrefix))+"%")
	}
	for k, v := range f.Labels {
		q.Where("EXISTS (SELECT 1 FROM json_each(labels) AS l WHERE l.key = ? AND l.value = ?)", k, v)
	}
	if len(f.States) > 0 {
		q.Where("state IN (?)", bun.List(f.States))
	}
	if len(f.Snapshots) > 0 {
		q.Where("(snapshot IN (?) OR snapshot_id IN (?))", bun.List(f.Snapshots), bun.List(f.Snapshots))
	}
	if len(f.Regions) > 0 {
		q.Where("region IN (?)", bun.List(f.Regions))
	}
	if f.Public != nil {
		q.Where("public = ?", *f.Public)
	}
	if f.Recoverable != nil {
		q.Where("recoverable = ?", *f.Recoverable)
	}
	for column, r := range map[string]sandbox.Range{"cpu": f.CPU, "memory": f.Memory, "disk": f.Disk} {
		if r.Min != nil {
			q.Where("? >= ?", bun.Ident(column), *r.Min)
		}
		if r.Max != nil {
			q.Where("? <= ?", bun.Ident(column), *r.Max)
		}
	}
	for column, r := range map[string]sandbox.TimeRange{"created_at": f.Created, "updated_at": f.Event, "destroy_at": f.Destroy} {
		if r.After != nil {
			q.Where("? > ?", bun.Ident(column), r.After.UTC())
		}
		if r.Before != nil {
			q.Where("? < ?", bun.Ident(column), r.Before.UTC())
		}
	}
	return q
}

// cursor is what an opaque cursor holds.
type cursor struct {
	Sort sandbox.SortField `json:"s"`
	ID   string            `json:"i"`
	Text string            `json:"t,omitempty"`
	Int  int               `json:"n,omitempty"`
	Time time.Time         `json:"d,omitzero"`
}

func cursorOf(r *sandboxRow, sort sandbox.SortField) string {
	c := cursor{Sort: sort, ID: r.ID}
	switch sort {
	case sandbox.SortName:
		c.Text = r.Name
	case sandbox.SortCPU:
		c.Int = r.CPU
	case sandbox.SortMemory:
		c.Int = r.Memory
	case sandbox.SortDisk:
		c.Int = r.Disk
	case sandbox.SortLastActivity:
		c.Time = r.LastActivityAt
	default:
		c.Time = r.CreatedAt
	}
	text, _ := json.Marshal(c) // of plain fields, which never fails
	return base64.RawURLEncoding.EncodeToString(text)
}

func parseCursor(text string, sort sandbox.SortField) (value any, id string, err error) {
	var c cursor
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil || c.Sort != sort || c.ID == "" {
		return nil, "", fault.Invalid("cursor", "cursor is not valid: use nextCursor of the page before, with the same sort, or leave it out for the first page.")
	}
	switch sort {
	case sandbox.SortName:
		return c.Text, c.ID, nil
	case sandbox.SortCPU, sandbox.SortMemory, sandbox.SortDisk:
		return c.Int, c.ID, nil
	}
	return c.Time.UTC(), c.ID, nil
}

func notNilMap(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
