package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

type sandboxRow struct {
	bun.BaseModel `bun:"table:sandboxes,alias:s"`

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
	Entrypoint     jsonColumn[[]string]
	Env            string // sealed
	Labels         jsonColumn[map[string]string]
	Public         bool
	CPU            int `bun:"cpu"`
	Memory         int
	Disk           int
	Network        jsonColumn[sandbox.Network]
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
	SigningSalt    string
	DueAt          *time.Time
	Version        int64

	NetworkWanted, NetworkApplied, SizeWanted, SizeApplied int64 // generations
}

func (r *sandboxRow) version() *int64 { return &r.Version }

// rowOfSandbox is a sandbox's row; was is the one that it was read from, or nil.
func (s *Store) rowOfSandbox(sb *sandbox.Sandbox, was *sandboxRow) *sandboxRow {
	row := plainSandboxRow(sb)
	row.Env = s.sealEnv(sb, was)
	return row
}

func plainSandboxRow(s *sandbox.Sandbox) *sandboxRow {
	return &sandboxRow{
		ID: s.ID, OrganizationID: s.OrganizationID, Name: s.Name, SnapshotID: s.SnapshotID, Snapshot: s.Snapshot,
		ImageDigest: s.ImageDigest, Region: s.Region, State: s.State, Desired: s.Desired, ErrorReason: s.ErrorReason,
		Recoverable: s.Recoverable, UserName: s.User, Entrypoint: column(notNil(s.Entrypoint)), Labels: column(notNilMap(s.Labels)),
		Public: s.Public, CPU: s.Resources.CPU, Memory: s.Resources.Memory, Disk: s.Resources.Disk, Network: column(s.Network),
		AutoStop: s.AutoStop, AutoArchive: s.AutoArchive, AutoDelete: s.AutoDelete, DestroyAt: utc(s.DestroyAt),
		CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC(), LastActivityAt: s.LastActivityAt.UTC(), StoppedAt: utc(s.StoppedAt),
		ParentID: s.ParentID, RootID: s.RootID, CopyOf: s.CopyOf, WarmPoolID: s.WarmPoolID, Claimed: s.Claimed, Stops: s.Stops, SigningSalt: s.SigningSalt, DueAt: utc(s.DueAt()),
		NetworkWanted: s.NetworkGeneration.Wanted, NetworkApplied: s.NetworkGeneration.Applied, SizeWanted: s.SizeGeneration.Wanted, SizeApplied: s.SizeGeneration.Applied,
	}
}

// ofSandbox is a row's sandbox.
func (s *Store) ofSandbox(r *sandboxRow) *sandbox.Sandbox {
	sb := r.plain()
	sb.Env, sb.EnvLost = s.openEnv(r)
	markSandbox(sb, damage(map[string]error{"entrypoint": r.Entrypoint.err, "labels": r.Labels.err, "network": r.Network.err}))
	return sb
}

func (r *sandboxRow) plain() *sandbox.Sandbox {
	return &sandbox.Sandbox{
		ID: r.ID, OrganizationID: r.OrganizationID, Name: r.Name, SnapshotID: r.SnapshotID, Snapshot: r.Snapshot,
		ImageDigest: r.ImageDigest, Region: r.Region, State: r.State, Desired: r.Desired, ErrorReason: r.ErrorReason,
		Recoverable: r.Recoverable, User: r.UserName, Entrypoint: r.Entrypoint.v, Labels: r.Labels.v,
		Public: r.Public, Resources: sandbox.Resources{CPU: r.CPU, Memory: r.Memory, Disk: r.Disk}, Network: r.Network.v,
		AutoStop: r.AutoStop, AutoArchive: r.AutoArchive, AutoDelete: r.AutoDelete, DestroyAt: r.DestroyAt,
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, LastActivityAt: r.LastActivityAt, StoppedAt: r.StoppedAt,
		ParentID: r.ParentID, RootID: r.RootID, CopyOf: r.CopyOf, WarmPoolID: r.WarmPoolID, Claimed: r.Claimed, Stops: r.Stops, SigningSalt: r.SigningSalt,
		NetworkGeneration: sandbox.Generation{Wanted: r.NetworkWanted, Applied: r.NetworkApplied},
		SizeGeneration:    sandbox.Generation{Wanted: r.SizeWanted, Applied: r.SizeApplied},
	}
}

func (s *Store) ofSandboxes(rows []*sandboxRow) []*sandbox.Sandbox {
	out := make([]*sandbox.Sandbox, len(rows))
	for i, r := range rows {
		out[i] = s.ofSandbox(r)
	}
	return out
}

// isID reports whether text can be the id of a row.
func isID(text string) bool { return uuid.Validate(text) == nil }

func sandboxMissing(err error, idOrName string) error {
	return missing(err, "SANDBOX_NOT_FOUND", "Sandbox %q does not exist.", idOrName)
}

// InsertSandbox is sandbox.Store.
func (s *Store) InsertSandbox(ctx context.Context, sb *sandbox.Sandbox, allow func(sandbox.Usage) error) error {
	return s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := s.allow(ctx, tx, sb.OrganizationID, allow); err != nil {
			return err
		}
		// Custody of images rests on this: no sandbox begins to stand on an
		// image that the snapshot has let go of.
		var id string
		q := tx.NewSelect().Model((*snapshotRow)(nil)).Column("id").Where("id = ?", sb.SnapshotID)
		if sb.ImageDigest == "" {
			q.Where("state <> ?", snapshot.StateRemoving)
		} else {
			q.Where("state = ?", snapshot.StateActive).Where("image_digest = ?", sb.ImageDigest)
		}
		err := s.dialect.lockRows(q, toStay).Scan(ctx, &id)
		if errors.Is(err, sql.ErrNoRows) {
			return sandbox.ErrSnapshotMoved
		}
		if err != nil {
			return err
		}
		return s.insertSandbox(ctx, tx, sb)
	})
}

func (s *Store) insertSandbox(ctx context.Context, tx bun.Tx, sb *sandbox.Sandbox) error {
	if err := s.mayGrow(); err != nil {
		return err
	}
	_, err := tx.NewInsert().Model(s.rowOfSandbox(sb, nil)).Exec(ctx)
	if s.dialect.isDuplicate(err) {
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
		if err := s.allow(ctx, tx, sb.OrganizationID, allow); err != nil {
			return err
		}
		var id string
		q := tx.NewSelect().Model((*sandboxRow)(nil)).Column("id").Where("id = ?", sb.ParentID).Where("desired <> ?", sandbox.DesiredDestroyed)
		err := s.dialect.lockRows(q, toStay).Scan(ctx, &id)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err != nil {
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
	return s.ofSandbox(&r), nil
}

// FindSandbox is sandbox.Store. Each of the two ways has its index; a query that
// takes either would have none.
func (s *Store) FindSandbox(ctx context.Context, organizationID, idOrName string) (*sandbox.Sandbox, error) {
	var r sandboxRow
	find := func(by string) *bun.SelectQuery {
		return s.read.NewSelect().Model(&r).Where("organization_id = ?", organizationID).Where("? = ?", bun.Ident(by), idOrName).Where("warm_pool_id = ''").Limit(1)
	}
	err := error(sql.ErrNoRows)
	if isID(idOrName) {
		err = find("id").Scan(ctx)
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = find("name").OrderExpr("desired = ?, created_at DESC", sandbox.DesiredDestroyed).Scan(ctx)
	}
	if err != nil {
		return nil, sandboxMissing(err, idOrName)
	}
	return s.ofSandbox(&r), nil
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
		if err := s.dialect.lockRows(tx.NewSelect().Model(&r).Where("id = ?", id), toChange).Scan(ctx); err != nil {
			return sandboxMissing(err, id)
		}
		sb = s.ofSandbox(&r)
		if err := change(ctx, tx, sb); err != nil {
			return err
		}
		if err := keepDamagedSandbox(sb); err != nil {
			return err
		}
		err := update(ctx, tx, &r, s.rowOfSandbox(sb, &r))
		if s.dialect.isDuplicate(err) {
			return nameTaken(sb.Name)
		}
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
		for _, id := range slices.Sorted(maps.Keys(at)) { // one order, so that two of these do not wait for each other
			t := at[id]
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
		err := s.dialect.lockRows(tx.NewSelect().Model(&r).Where("id = ?", id), toChange).Scan(ctx)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		return s.depart(ctx, tx, &r)
	})
}

// AllSandboxes is sandbox.Store.
func (s *Store) AllSandboxes(ctx context.Context) ([]*sandbox.Sandbox, error) {
	var rows []*sandboxRow
	err := s.read.NewSelect().Model(&rows).OrderExpr("created_at, id").Scan(ctx)
	return s.ofSandboxes(rows), err
}

// SandboxesOfOrganization lists an organization's, those that wait in pools too.
func (s *Store) SandboxesOfOrganization(ctx context.Context, id string) ([]*sandbox.Sandbox, error) {
	var rows []*sandboxRow
	err := s.read.NewSelect().Model(&rows).Where("organization_id = ?", id).OrderExpr("created_at, id").Scan(ctx)
	return s.ofSandboxes(rows), err
}

// SandboxesOfSnapshot is sandbox.Store.
func (s *Store) SandboxesOfSnapshot(ctx context.Context, snapshotID string, states ...sandbox.State) ([]*sandbox.Sandbox, error) {
	var rows []*sandboxRow
	err := s.read.NewSelect().Model(&rows).Where("snapshot_id = ?", snapshotID).Where("state IN (?)", bun.List(states)).Scan(ctx)
	return s.ofSandboxes(rows), err
}
