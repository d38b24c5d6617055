package store

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/registrycreds"
)

type registryRow struct {
	bun.BaseModel `bun:"table:docker_registries"`

	ID             string `bun:",pk"`
	OrganizationID string
	Name           string
	URL            string `bun:"url"`
	Username       string
	Password       string
	Project        string
	CreatedAt      time.Time
	UpdatedAt      time.Time
	Version        int64
}

func (r *registryRow) version() *int64 { return &r.Version }

func rowOfRegistry(r *registrycreds.Registry) *registryRow {
	return &registryRow{
		ID: r.ID, OrganizationID: r.OrganizationID, Name: r.Name, URL: r.URL, Username: r.Username, Password: r.Password, Project: r.Project,
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
}

func (r *registryRow) registry() *registrycreds.Registry {
	return &registrycreds.Registry{
		ID: r.ID, OrganizationID: r.OrganizationID, Name: r.Name, URL: r.URL, Username: r.Username, Password: r.Password, Project: r.Project,
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
}

func registryMissing(err error, id string) error {
	return missing(err, "REGISTRY_NOT_FOUND", "Registry %q does not exist.", id)
}

func (s *Store) registryTaken(err error, name string) error {
	if s.dialect.isDuplicate(err) {
		return fault.Conflict("REGISTRY_EXISTS", fmt.Sprintf("A registry named %q exists already: choose another name, or update it.", name))
	}
	return err
}

// InsertRegistry is registrycreds.Store.
func (s *Store) InsertRegistry(ctx context.Context, r *registrycreds.Registry) error {
	_, err := s.write.NewInsert().Model(rowOfRegistry(r)).Exec(ctx)
	return s.registryTaken(err, r.Name)
}

// Registry is registrycreds.Store.
func (s *Store) Registry(ctx context.Context, organizationID, id string) (*registrycreds.Registry, error) {
	var r registryRow
	if err := s.read.NewSelect().Model(&r).Where("id = ?", id).Where("organization_id = ?", organizationID).Scan(ctx); err != nil {
		return nil, registryMissing(err, id)
	}
	return r.registry(), nil
}

// Registries is registrycreds.Store.
func (s *Store) Registries(ctx context.Context, organizationID string) ([]*registrycreds.Registry, error) {
	var rows []*registryRow
	q := s.read.NewSelect().Model(&rows).OrderExpr("organization_id, name")
	if organizationID != "" {
		q = q.Where("organization_id = ?", organizationID)
	}
	err := q.Scan(ctx)
	out := make([]*registrycreds.Registry, len(rows))
	for i, r := range rows {
		out[i] = r.registry()
	}
	return out, err
}

// UpdateRegistry is registrycreds.Store.
func (s *Store) UpdateRegistry(ctx context.Context, organizationID, id string, change func(*registrycreds.Registry) error) (*registrycreds.Registry, error) {
	var out *registrycreds.Registry
	err := s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		var r registryRow
		q := tx.NewSelect().Model(&r).Where("id = ?", id).Where("organization_id = ?", organizationID)
		if err := s.dialect.lockRows(q, toChange).Scan(ctx); err != nil {
			return registryMissing(err, id)
		}
		out = r.registry()
		if err := change(out); err != nil {
			return err
		}
		return s.registryTaken(update(ctx, tx, &r, rowOfRegistry(out)), out.Name)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DeleteRegistry is registrycreds.Store.
func (s *Store) DeleteRegistry(ctx context.Context, organizationID, id string) error {
	res, err := s.write.NewDelete().Model((*registryRow)(nil)).Where("id = ?", id).Where("organization_id = ?", organizationID).Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return fault.NotFound("REGISTRY_NOT_FOUND", fmt.Sprintf("Registry %q does not exist.", id))
}
