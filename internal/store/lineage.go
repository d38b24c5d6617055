package store

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/sandbox"
)

// departedRow is a sandbox that is gone and has a parent or forks.
type departedRow struct {
	bun.BaseModel `bun:"table:departed_sandboxes"`

	ID             string `bun:",pk"`
	OrganizationID string
	ParentID       string
	RootID         string
	Sandbox        string // JSON of what it was
}

func (r *departedRow) sandbox() *sandbox.Sandbox {
	sb := &sandbox.Sandbox{}
	_ = json.Unmarshal([]byte(r.Sandbox), sb) // written by depart
	sb.State, sb.Desired = sandbox.StateDestroyed, sandbox.DesiredDestroyed
	return sb
}

// rootOf is the first of a sandbox's line.
func rootOf(r *sandboxRow) string {
	if r.RootID != "" {
		return r.RootID
	}
	return r.ID
}

// depart forgets a sandbox but for its place in its line, and the line with the
// last of it.
func (s *Store) depart(ctx context.Context, tx bun.Tx, r *sandboxRow) error {
	if _, err := tx.NewDelete().Model(r).WherePK().Exec(ctx); err != nil {
		return err
	}
	if _, err := tx.NewDelete().Model((*previewRow)(nil)).Where("sandbox_id = ?", r.ID).Exec(ctx); err != nil {
		return err
	}
	root := rootOf(r)
	if err := s.dialect.lockKey(ctx, tx, root); err != nil { // or two that go at once each see the other
		return err
	}
	alive, err := tx.NewSelect().Model((*sandboxRow)(nil)).Where("(id = ? OR root_id = ? AND root_id <> '')", root, root).Exists(ctx)
	if err != nil {
		return err
	}
	if !alive {
		_, err := tx.NewDelete().Model((*departedRow)(nil)).Where("(id = ? OR root_id = ?)", root, root).Exec(ctx)
		return err
	}
	was := r.plain()             // without its variables, which nobody needs any more
	text, _ := json.Marshal(was) // of plain fields, which never fails
	_, err = tx.NewInsert().Model(&departedRow{ID: r.ID, OrganizationID: r.OrganizationID, ParentID: r.ParentID, RootID: root, Sandbox: string(text)}).Exec(ctx)
	return err
}

// Kin is sandbox.Store.
func (s *Store) Kin(ctx context.Context, organizationID, id string) (*sandbox.Sandbox, error) {
	var r sandboxRow
	if err := s.read.NewSelect().Model(&r).Where("id = ?", id).Where("organization_id = ?", organizationID).Scan(ctx); err == nil {
		return s.ofSandbox(&r), nil
	}
	var gone departedRow
	err := s.read.NewSelect().Model(&gone).Where("id = ?", id).Where("organization_id = ?", organizationID).Scan(ctx)
	if err != nil {
		return nil, sandboxMissing(err, id)
	}
	return gone.sandbox(), nil
}

// Forks is sandbox.Store.
func (s *Store) Forks(ctx context.Context, organizationID, id string, destroyed bool) ([]*sandbox.Sandbox, error) {
	var rows []*sandboxRow
	q := s.read.NewSelect().Model(&rows).Where("parent_id = ?", id).Where("parent_id <> ''").Where("organization_id = ?", organizationID)
	if !destroyed {
		q.Where("desired <> ?", sandbox.DesiredDestroyed)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, err
	}
	forks := s.ofSandboxes(rows)
	if destroyed {
		var gone []*departedRow
		if err := s.read.NewSelect().Model(&gone).Where("parent_id = ?", id).Where("organization_id = ?", organizationID).Scan(ctx); err != nil {
			return nil, err
		}
		for _, r := range gone {
			forks = append(forks, r.sandbox())
		}
	}
	slices.SortFunc(forks, func(a, b *sandbox.Sandbox) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return forks, nil
}
