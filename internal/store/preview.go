package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/preview"
)

type previewRow struct {
	bun.BaseModel `bun:"table:preview_urls"`

	Hash      string `bun:",pk"`
	SandboxID string
	Port      int
	ExpiresAt time.Time
}

func previewMissing(err error) error {
	return missing(err, "PREVIEW_URL_NOT_FOUND", "There is no such signed preview URL: it has expired, or was made for another port or sandbox.")
}

// InsertSignedPreview is preview.Store.
func (s *Store) InsertSignedPreview(ctx context.Context, p preview.Signed, now time.Time, allow func(signed int) error) error {
	return s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		// In the way of a write anyhow: nothing else need look for what expired.
		if _, err := tx.NewDelete().Model((*previewRow)(nil)).Where("expires_at <= ?", now.UTC()).Exec(ctx); err != nil {
			return err
		}
		var id string // until this has ended, the sandbox stays, and others that sign for it wait
		q := tx.NewSelect().Model((*sandboxRow)(nil)).Column("id").Where("id = ?", p.SandboxID)
		if err := s.dialect.lockRows(q, toChange).Scan(ctx, &id); err != nil {
			return previewMissing(err) // deleted since the caller looked
		}
		signed, err := tx.NewSelect().Model((*previewRow)(nil)).Where("sandbox_id = ?", p.SandboxID).Count(ctx)
		if err != nil {
			return err
		}
		if err := allow(int(signed)); err != nil {
			return err
		}
		row := &previewRow{Hash: p.Hash, SandboxID: p.SandboxID, Port: p.Port, ExpiresAt: p.ExpiresAt.UTC()}
		_, err = tx.NewInsert().Model(row).Exec(ctx)
		return err
	})
}

// SignedPreview is preview.Store.
func (s *Store) SignedPreview(ctx context.Context, hash string) (preview.Signed, error) {
	var r previewRow
	if err := s.read.NewSelect().Model(&r).Where("hash = ?", hash).Scan(ctx); err != nil {
		return preview.Signed{}, previewMissing(err)
	}
	return preview.Signed{Hash: r.Hash, SandboxID: r.SandboxID, Port: r.Port, ExpiresAt: r.ExpiresAt}, nil
}

// DeleteSignedPreview is preview.Store.
func (s *Store) DeleteSignedPreview(ctx context.Context, p preview.Signed) error {
	done, err := s.write.NewDelete().Model((*previewRow)(nil)).
		Where("hash = ?", p.Hash).Where("sandbox_id = ?", p.SandboxID).Where("port = ?", p.Port).Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return previewMissing(sql.ErrNoRows)
}
