package store

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/permission"
)

type userRow struct {
	bun.BaseModel `bun:"table:users"`

	ID        string `bun:",pk"`
	Name      string
	Email     string
	Admin     bool
	CreatedAt time.Time
}

type organizationRow struct {
	bun.BaseModel `bun:"table:organizations,alias:o"`

	ID            string `bun:",pk"`
	Name          string
	CreatedBy     string
	Personal      bool
	DefaultRegion string
	LimitedEgress bool
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

type memberRow struct {
	bun.BaseModel `bun:"table:members"`

	OrganizationID string `bun:",pk"`
	UserID         string `bun:",pk"`
	Role           account.Role
}

type keyRow struct {
	bun.BaseModel `bun:"table:api_keys,alias:k"`

	Hash           string `bun:",pk"`
	OrganizationID string
	UserID         string
	Name           string
	Masked         string
	Permissions    []permission.Permission `bun:"type:text"`
	CreatedAt      time.Time
	LastUsedAt     *time.Time
	ExpiresAt      *time.Time
}

func (r *userRow) user() *account.User {
	return &account.User{ID: r.ID, Name: r.Name, Email: r.Email, Admin: r.Admin, CreatedAt: r.CreatedAt}
}

func (r *organizationRow) organization() *account.Organization {
	return &account.Organization{
		ID: r.ID, Name: r.Name, CreatedBy: r.CreatedBy, Personal: r.Personal, DefaultRegion: r.DefaultRegion,
		LimitedEgress: r.LimitedEgress, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
}

func (r *keyRow) key() *account.Key {
	return &account.Key{
		Hash: r.Hash, Name: r.Name, Masked: r.Masked, OrganizationID: r.OrganizationID, UserID: r.UserID,
		Permissions: r.Permissions, CreatedAt: r.CreatedAt, LastUsedAt: r.LastUsedAt, ExpiresAt: r.ExpiresAt,
	}
}

func newKeyRow(k *account.Key) *keyRow {
	return &keyRow{
		Hash: k.Hash, OrganizationID: k.OrganizationID, UserID: k.UserID, Name: k.Name, Masked: k.Masked,
		Permissions: k.Permissions, CreatedAt: k.CreatedAt.UTC(), ExpiresAt: utc(k.ExpiresAt),
	}
}

// Founder is account.Store.
func (s *Store) Founder(ctx context.Context) (*account.User, error) {
	var r userRow
	if err := s.write.NewSelect().Model(&r).OrderExpr("created_at, id").Limit(1).Scan(ctx); err != nil {
		return nil, missing(err, "USER_NOT_FOUND", "There is no user yet.")
	}
	return r.user(), nil
}

// User is account.Store.
func (s *Store) User(ctx context.Context, id string) (*account.User, error) {
	var r userRow
	if err := s.read.NewSelect().Model(&r).Where("id = ?", id).Scan(ctx); err != nil {
		return nil, missing(err, "USER_NOT_FOUND", "User %s does not exist.", id)
	}
	return r.user(), nil
}

// Organization is account.Store.
func (s *Store) Organization(ctx context.Context, id string) (*account.Organization, error) {
	var r organizationRow
	if err := s.read.NewSelect().Model(&r).Where("id = ?", id).Scan(ctx); err != nil {
		return nil, missing(err, "ORGANIZATION_NOT_FOUND", "Organization %s does not exist.", id)
	}
	return r.organization(), nil
}

// OrganizationsOf is account.Store.
func (s *Store) OrganizationsOf(ctx context.Context, userID string) ([]*account.Organization, error) {
	var rows []*organizationRow
	err := s.read.NewSelect().Model(&rows).
		Join("JOIN members AS m ON m.organization_id = o.id").Where("m.user_id = ?", userID).
		OrderExpr("o.created_at, o.id").Scan(ctx)
	out := make([]*account.Organization, len(rows))
	for i, r := range rows {
		out[i] = r.organization()
	}
	return out, err
}

// Organizations is account.Store.
func (s *Store) Organizations(ctx context.Context) ([]*account.Organization, error) {
	var rows []*organizationRow
	err := s.read.NewSelect().Model(&rows).OrderExpr("created_at, id").Scan(ctx)
	out := make([]*account.Organization, len(rows))
	for i, r := range rows {
		out[i] = r.organization()
	}
	return out, err
}

// SetLimitedEgress is account.Store.
func (s *Store) SetLimitedEgress(ctx context.Context, organizationID string, limited bool) error {
	_, err := s.write.NewUpdate().Model((*organizationRow)(nil)).Set("limited_egress = ?", limited).Set("updated_at = ?", time.Now().UTC()).
		Where("id = ?", organizationID).Exec(ctx)
	return err
}

// Found is account.Store.
func (s *Store) Found(ctx context.Context, u *account.User, o *account.Organization, keys ...*account.Key) error {
	return s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		taken, err := tx.NewSelect().Model((*organizationRow)(nil)).Where("name = ?", o.Name).Exists(ctx)
		if err != nil {
			return fmt.Errorf("look for organization %q: %w", o.Name, err)
		}
		if taken {
			return fault.Conflict("ORGANIZATION_EXISTS", fmt.Sprintf("An organization named %q exists already: choose another name.", o.Name))
		}
		rows := []any{
			&userRow{ID: u.ID, Name: u.Name, Email: u.Email, Admin: u.Admin, CreatedAt: u.CreatedAt.UTC()},
			&organizationRow{
				ID: o.ID, Name: o.Name, CreatedBy: o.CreatedBy, Personal: o.Personal, DefaultRegion: o.DefaultRegion,
				LimitedEgress: o.LimitedEgress, CreatedAt: o.CreatedAt.UTC(), UpdatedAt: o.UpdatedAt.UTC(),
			},
			&memberRow{OrganizationID: o.ID, UserID: u.ID, Role: account.RoleOwner},
		}
		for _, k := range keys {
			rows = append(rows, newKeyRow(k))
		}
		for _, row := range rows {
			if _, err := tx.NewInsert().Model(row).Exec(ctx); err != nil {
				return fmt.Errorf("found organization %q: %w", o.Name, err)
			}
		}
		return nil
	})
}

// DeleteOrganization is account.Store.
func (s *Store) DeleteOrganization(ctx context.Context, id string) error {
	return s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		sandboxes, err := tx.NewSelect().Model((*sandboxRow)(nil)).Where("organization_id = ?", id).Count(ctx)
		if err != nil {
			return fmt.Errorf("count the sandboxes of organization %s: %w", id, err)
		}
		snapshots, err := tx.NewSelect().Model((*snapshotRow)(nil)).Where("organization_id = ?", id).Count(ctx)
		if err != nil {
			return fmt.Errorf("count the snapshots of organization %s: %w", id, err)
		}
		if sandboxes+snapshots > 0 {
			return fault.Conflict("ORGANIZATION_NOT_EMPTY", fmt.Sprintf("The organization still has %d sandboxes and %d snapshots: delete it again, with what it has.", sandboxes, snapshots))
		}
		for _, row := range []any{(*warmPoolRow)(nil), (*registryRow)(nil), (*departedRow)(nil), (*sandboxCountRow)(nil), (*snapshotCountRow)(nil), (*keyRow)(nil), (*memberRow)(nil)} {
			if _, err := tx.NewDelete().Model(row).Where("organization_id = ?", id).Exec(ctx); err != nil {
				return fmt.Errorf("delete what organization %s has: %w", id, err)
			}
		}
		if _, err := tx.NewDelete().Model((*organizationRow)(nil)).Where("id = ?", id).Exec(ctx); err != nil {
			return fmt.Errorf("delete organization %s: %w", id, err)
		}
		_, err = tx.NewDelete().Model((*userRow)(nil)).Where("NOT admin").
			Where("id NOT IN (SELECT user_id FROM members)").Where("id NOT IN (SELECT user_id FROM api_keys)").Where("id NOT IN (SELECT created_by FROM organizations)").Exec(ctx)
		if err != nil {
			return fmt.Errorf("delete the users of organization %s: %w", id, err)
		}
		return nil
	})
}

// InsertKey is account.Store.
func (s *Store) InsertKey(ctx context.Context, k *account.Key) error {
	_, err := s.write.NewInsert().Model(newKeyRow(k)).Exec(ctx)
	if s.dialect.isDuplicate(err) {
		return fault.Conflict("API_KEY_EXISTS", fmt.Sprintf("An API key named %q exists already: choose another name, or delete it first.", k.Name))
	}
	return err
}

// KeyByHash is account.Store.
func (s *Store) KeyByHash(ctx context.Context, hash string) (*account.Key, bool, error) {
	var r struct {
		keyRow `bun:",extend"`

		Admin bool
	}
	err := s.read.NewSelect().Model(&r).ColumnExpr("k.*, u.admin").Join("JOIN users AS u ON u.id = k.user_id").Where("k.hash = ?", hash).Scan(ctx)
	if err != nil {
		return nil, false, missing(err, "API_KEY_NOT_FOUND", "The API key does not exist.")
	}
	return r.key(), r.Admin, nil
}

// Keys is account.Store.
func (s *Store) Keys(ctx context.Context, organizationID, userID string) ([]*account.Key, error) {
	var rows []*keyRow
	err := s.read.NewSelect().Model(&rows).Where("organization_id = ?", organizationID).Where("user_id = ?", userID).
		OrderExpr("created_at, name").Scan(ctx)
	out := make([]*account.Key, len(rows))
	for i, r := range rows {
		out[i] = r.key()
	}
	return out, err
}

// DeleteKey is account.Store.
func (s *Store) DeleteKey(ctx context.Context, organizationID, userID, name string) (*account.Key, error) {
	var r keyRow
	err := s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		err := tx.NewSelect().Model(&r).Where("organization_id = ?", organizationID).Where("user_id = ?", userID).Where("name = ?", name).Scan(ctx)
		if err != nil {
			return missing(err, "API_KEY_NOT_FOUND", "API key %q does not exist.", name)
		}
		_, err = tx.NewDelete().Model(&r).WherePK().Exec(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r.key(), nil
}

// DeleteKeys is account.Store.
func (s *Store) DeleteKeys(ctx context.Context, organizationID string) (hashes []string, err error) {
	err = s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := tx.NewSelect().Model((*keyRow)(nil)).Column("hash").Where("organization_id = ?", organizationID).Scan(ctx, &hashes); err != nil {
			return err
		}
		_, err := tx.NewDelete().Model((*keyRow)(nil)).Where("organization_id = ?", organizationID).Exec(ctx)
		return err
	})
	return hashes, err
}

// TouchKeys is account.Store.
func (s *Store) TouchKeys(ctx context.Context, at map[string]time.Time) error {
	return s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		for hash, t := range at {
			if _, err := tx.NewUpdate().Model((*keyRow)(nil)).Set("last_used_at = ?", t.UTC()).Where("hash = ?", hash).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}
