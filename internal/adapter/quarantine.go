package adapter

import (
	"context"

	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// Adopter makes sandboxes of disks that no row knows (quarantine.Keeper.Adopt).
type Adopter struct {
	Accounts  *account.Service
	Sandboxes *sandbox.Service
}

// Adopt makes a disk a sandbox of its own organization, or else of the
// administrator's.
func (a Adopter) Adopt(ctx context.Context, id string, record []byte, snapshotName string) (image string, err error) {
	home, err := a.Accounts.AdministratorsOrganization(ctx)
	if err != nil {
		return "", err
	}
	sb, err := a.Sandboxes.Adopt(ctx, sandbox.AdoptParams{
		ID: id, Record: record, Snapshot: snapshotName, OrganizationID: home,
		Known: func(organizationID string) (bool, error) { return a.Accounts.Exists(ctx, organizationID) },
	})
	if err != nil {
		return "", err
	}
	return sb.ImageDigest, nil
}

// SandboxRows are the sandboxes that the database has.
type SandboxRows interface {
	AllSandboxes(ctx context.Context) ([]*sandbox.Sandbox, error)
}

// KnownRows is what the database knows. It implements quarantine.Rows.
type KnownRows struct {
	Rows interface {
		SandboxRows
		SnapshotRows
	}
	SnapshotService *snapshot.Service
}

// Sandboxes is quarantine.Rows.
func (k KnownRows) Sandboxes(ctx context.Context) (map[string]string, error) {
	all, err := k.Rows.AllSandboxes(ctx)
	images := make(map[string]string, len(all))
	for _, sb := range all {
		images[sb.ID] = sb.ImageDigest
	}
	return images, err
}

// Captures is quarantine.Rows.
func (k KnownRows) Captures(ctx context.Context) (map[string]bool, error) {
	all, err := k.Rows.SnapshotsIn(ctx)
	known := make(map[string]bool, len(all))
	for _, snap := range all {
		known[snap.Revision] = true
	}
	return known, err
}

// Owns is quarantine.Rows.
func (k KnownRows) Owns(ctx context.Context, lost bool) (func(owner, image string) bool, error) {
	revisions, err := k.Captures(ctx)
	if err != nil {
		return nil, err
	}
	sandboxes, err := k.Sandboxes(ctx)
	if err != nil {
		return nil, err
	}
	stood := make(map[string]bool, len(sandboxes))
	for _, image := range sandboxes {
		stood[image] = true
	}
	return func(owner, image string) bool {
		if revision, ok := snapshot.OwnedRevision(owner); ok {
			return revisions[revision]
		}
		return !lost || !snapshot.OwnedBySandboxes(owner) || stood[image]
	}, nil
}

// KeepImage is quarantine.Rows.
func (k KnownRows) KeepImage(ctx context.Context, image string) error {
	return k.SnapshotService.KeepImage(ctx, image)
}

// ImageOf is quarantine.Rows.
func (k KnownRows) ImageOf(record []byte) string {
	sb, err := sandbox.ParseRecord(record, nil)
	if err != nil {
		return ""
	}
	return sb.ImageDigest
}
