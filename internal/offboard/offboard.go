// Package offboard deletes organizations with all that they have, which is of
// several parts of the server.
package offboard

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// Offboarder deletes organizations (httpapi.Dissolver).
type Offboarder struct {
	Rows      Rows
	Accounts  *account.Service
	Sandboxes *sandbox.Service
	Snapshots *snapshot.Service
}

// Rows are what an organization has.
type Rows interface {
	SandboxesOfOrganization(ctx context.Context, id string) ([]*sandbox.Sandbox, error)
	SnapshotsOfOrganization(ctx context.Context, id string) ([]*snapshot.Snapshot, error)
}

// dissolvedAtOnce bounds how many sandboxes are deleted at once.
const dissolvedAtOnce = 16

// Dissolve deletes an organization; one that has sandboxes or snapshots only with
// them. When it ends early, what is left is deleted by doing it again. Errors: fault
// of kind NotFound, Forbidden, Conflict.
func (d Offboarder) Dissolve(ctx context.Context, by account.Principal, id string, withContents bool) error {
	o, err := d.Accounts.Deletable(ctx, by, id)
	if err != nil {
		return err
	}
	boxes, snaps, err := d.contents(ctx, id)
	if err != nil {
		return err
	}
	if !withContents && len(boxes)+len(snaps) > 0 {
		return fault.Conflict("ORGANIZATION_NOT_EMPTY", fmt.Sprintf(
			"Organization %q has %d sandboxes and %d snapshots: delete them first, or say that they go with it (--with-contents).", o.Name, len(boxes), len(snaps)))
	}
	// From here on nobody makes anything in it.
	if err := d.Accounts.EndOrganization(ctx, by, id); err != nil {
		return err
	}
	if withContents {
		if err := d.empty(ctx, id); err != nil {
			return fmt.Errorf("empty organization %s: %w", id, err)
		}
	}
	return d.Accounts.DeleteOrganization(ctx, by, id)
}

// contents are the sandboxes of an organization, those that wait in warm pools too,
// and its snapshots.
func (d Offboarder) contents(ctx context.Context, id string) (boxes []*sandbox.Sandbox, snaps []*snapshot.Snapshot, err error) {
	if boxes, err = d.Rows.SandboxesOfOrganization(ctx, id); err != nil {
		return nil, nil, err
	}
	snaps, err = d.Rows.SnapshotsOfOrganization(ctx, id)
	return boxes, snaps, err
}

// What waits in pools goes with them a moment later, and so does what a pool was
// making while it was deleted.
const (
	emptyTime   = 30 * time.Second
	emptyPeriod = 50 * time.Millisecond
)

// empty deletes the warm pools, sandboxes and snapshots, and returns when they have
// gone.
func (d Offboarder) empty(ctx context.Context, id string) error {
	for end := time.Now().Add(emptyTime); ; {
		if err := d.emptyOnce(ctx, id); err != nil {
			return err
		}
		boxes, snaps, err := d.contents(ctx, id)
		if err != nil || len(boxes)+len(snaps) == 0 || time.Now().After(end) {
			return err // what is left is told by who deletes the organization
		}
		select {
		case <-time.After(emptyPeriod):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (d Offboarder) emptyOnce(ctx context.Context, id string) error {
	pools, err := d.Sandboxes.Pools(ctx, id)
	if err != nil {
		return err
	}
	for _, p := range pools {
		if err := d.Sandboxes.DeletePool(ctx, id, p.ID); err != nil && !fault.Is(err, fault.KindNotFound) {
			return err
		}
	}
	boxes, snaps, err := d.contents(ctx, id)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(dissolvedAtOnce)
	for _, sb := range boxes {
		g.Go(func() error {
			going, err := d.Sandboxes.Delete(ctx, id, sb.ID)
			if err == nil {
				_, err = d.Sandboxes.Settle(ctx, going)
			}
			return ignoreGone(err)
		})
	}
	for _, snap := range snaps {
		g.Go(func() error {
			err := d.Snapshots.Delete(ctx, id, snap.ID, true)
			if err == nil {
				_, err = d.Snapshots.Settle(ctx, snap)
			}
			return ignoreGone(err)
		})
	}
	return g.Wait()
}

func ignoreGone(err error) error {
	if fault.Is(err, fault.KindNotFound) {
		return nil
	}
	return err
}
