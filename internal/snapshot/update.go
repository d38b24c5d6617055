package snapshot

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/oci"
)

// Update changes what is behind a snapshot's name. With an image or a build in
// p, the new content is made beside the present one, which goes on serving
// until the two change places in one transaction; an update that goes on
// already, or has failed, gives way to this one. Otherwise the change is made at
// once. What p leaves out stays; an entrypoint that is empty but not nil is the
// image's own. Errors: fault of kind Invalid, NotFound, Quota; Forbidden for a
// general snapshot unless admin.
func (s *Service) Update(ctx context.Context, organizationID, idOrName string, admin bool, p CreateParams) (*Snapshot, error) {
	if err := p.validateUpdate(s.config.Images); err != nil {
		return nil, err
	}
	snap, err := s.owned(ctx, organizationID, idOrName, admin)
	if err != nil {
		return nil, err
	}
	if p.Name != "" && p.Name != snap.Name {
		return nil, fault.Invalid("name", fmt.Sprintf("Snapshot %q keeps its name: leave name out, or create %q beside it.", snap.Name, p.Name))
	}
	if p.RegionID != "" {
		if err := s.config.Regions.CheckRegion(ctx, snap.OrganizationID, p.RegionID); err != nil {
			return nil, err
		}
	}
	if !snap.General {
		wanted := snap.Content
		p.amend(&wanted)
		if _, err := s.config.Limits.CheckSnapshot(wanted.Resources); err != nil {
			return nil, err
		}
	}
	if p.ImageName == "" && p.Build == nil {
		return s.change(ctx, snap, p)
	}
	return s.beginUpdate(ctx, snap, p)
}

// CreateOrUpdate updates the snapshot of p's name, or creates one where the
// organization may change none of that name. Errors: as Create's and Update's.
func (s *Service) CreateOrUpdate(ctx context.Context, organizationID string, general, admin bool, p CreateParams) (*Snapshot, error) {
	snap, err := s.Get(ctx, organizationID, p.Name)
	if err == nil && general && !snap.General && snap.State != StateRemoving {
		return nil, fault.Conflict("SNAPSHOT_EXISTS", fmt.Sprintf("Snapshot %q exists and is not shared by all organizations: delete it first.", p.Name))
	}
	for range 3 {
		snap, err = s.Update(ctx, organizationID, p.Name, admin, p)
		if !fault.Is(err, fault.KindNotFound) && !fault.Is(err, fault.KindForbidden) {
			return snap, err
		}
		snap, err = s.Create(ctx, organizationID, general, p)
		if !fault.Is(err, fault.KindConflict) {
			return snap, err
		}
	}
	return nil, err
}

// CancelUpdate ends the update of a snapshot that goes on, or forgets the one
// that failed; what the snapshot has stays. Repeating it is fine. Errors: fault
// of kind NotFound; Forbidden for a general snapshot unless admin.
func (s *Service) CancelUpdate(ctx context.Context, organizationID, idOrName string, admin bool) error {
	snap, err := s.owned(ctx, organizationID, idOrName, admin)
	if err != nil || snap.Next == nil {
		return err
	}
	return s.dropUpdate(ctx, snap.Next)
}

func (s *Service) dropUpdate(ctx context.Context, next *Snapshot) error {
	_, err := s.move(ctx, next.ID, StateRemoving, "", func(now *Snapshot) error { return now.still(next) })
	s.cancelMaking(next.Revision)
	return ignoreOvertaken(err)
}

// amend writes over the content what p says of it, but for its source.
func (p CreateParams) amend(c *Content) {
	for _, f := range []struct {
		to   *int
		from *int
	}{{&c.Resources.CPU, p.CPU}, {&c.Resources.Memory, p.Memory}, {&c.Resources.Disk, p.Disk}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if p.Entrypoint != nil {
		c.Entrypoint, c.EntrypointGiven = p.Entrypoint, len(p.Entrypoint) > 0
	}
	if p.RegionID != "" {
		c.RegionIDs = []string{p.RegionID}
	}
}

// change amends the content that is there, and that of an update that goes on.
func (s *Service) change(ctx context.Context, snap *Snapshot, p CreateParams) (*Snapshot, error) {
	snap, err := s.config.Store.UpdateReplacement(ctx, snap.ID, func(now, next *Snapshot) (*Snapshot, error) {
		if now.State == StateRemoving {
			return nil, gone(now)
		}
		if next != nil {
			p.amend(&next.Content)
		}
		p.amend(&now.Content)
		now.UpdatedAt = s.config.Clock.Now()
		if now.State != StateActive || len(now.Entrypoint) > 0 {
			return nil, nil
		}
		img, err := s.config.Images.Image(ctx, now.ImageDigest)
		if err == nil {
			now.adopt(img)
		}
		return nil, err
	})
	if err != nil {
		return nil, fmt.Errorf("change snapshot %s: %w", snap.ID, err)
	}
	s.config.Log.Info("snapshot changed", "snapshot", snap.Name, "id", snap.ID)
	s.tell(snap, snap.State)
	return snap, nil
}

// beginUpdate writes down what the snapshot is to become; the reconciler makes
// it as it makes any snapshot.
func (s *Service) beginUpdate(ctx context.Context, snap *Snapshot, p CreateParams) (*Snapshot, error) {
	var build *Build
	if p.Build != nil {
		var err error
		if build, err = s.newBuild(ctx, snap.OrganizationID, *p.Build); err != nil {
			return nil, fmt.Errorf("update snapshot %s: %w", snap.ID, err)
		}
	}
	var former *Snapshot
	id := uuid.NewString()
	updated, err := s.config.Store.UpdateReplacement(ctx, snap.ID, func(now, next *Snapshot) (*Snapshot, error) {
		if now.State == StateRemoving {
			return nil, gone(now)
		}
		at := s.config.Clock.Now()
		if former = next; former != nil {
			if err := former.enter(StateRemoving, "", at); err != nil {
				return nil, err
			}
		}
		newer := &Snapshot{
			ID: id, OrganizationID: now.OrganizationID, General: now.General, Name: now.Name, Replaces: now.ID, CreatedAt: at, UpdatedAt: at,
			Content: Content{Revision: id, State: StatePending, ImageName: p.ImageName, RegionIDs: now.RegionIDs, Resources: now.Resources},
		}
		if now.EntrypointGiven {
			newer.Entrypoint, newer.EntrypointGiven = now.Entrypoint, true
		}
		newer.Build = build
		p.amend(&newer.Content)
		return newer, nil
	})
	if err != nil {
		return nil, fmt.Errorf("update snapshot %s: %w", snap.ID, err)
	}
	s.config.Log.Info("snapshot update", "snapshot", updated.Name, "id", updated.ID, "update", id)
	if former != nil {
		s.cancelMaking(former.Revision)
		s.jobs.rows.Add(step(former))
	}
	s.jobs.rows.Add(controller.Job{Key: id, Tenant: updated.OrganizationID})
	s.tell(updated, updated.State)
	return updated, nil
}

// replace is the moment of an update: its content becomes the snapshot's, in
// one transaction, and what was there goes with the update's row. Each content
// keeps its revision, and so its hold on its image. Errors: fault.KindConflict
// when it was overtaken.
func (s *Service) replace(ctx context.Context, update *Snapshot, img *oci.Image) error {
	var old Content
	snap, err := s.config.Store.UpdateReplacement(ctx, update.Replaces, func(now, next *Snapshot) (*Snapshot, error) {
		if now.State == StateRemoving || next == nil || next.ID != update.ID {
			return nil, fault.Conflict("SNAPSHOT_STATE", fmt.Sprintf("Snapshot %q has been removed, or has a newer update.", now.Name))
		}
		at := s.config.Clock.Now()
		if err := next.enter(StateActive, "", at); err != nil {
			return nil, err
		}
		next.adopt(img)
		old = now.Content
		now.Content, next.Content = next.Content, now.Content
		now.UpdatedAt = at
		return nil, next.enter(StateRemoving, "", at)
	})
	if err != nil {
		return fmt.Errorf("replace snapshot %q: %w", update.Name, err)
	}
	s.config.Log.Info("snapshot replaced", "snapshot", snap.Name, "id", snap.ID, "from", old.ImageDigest, "to", snap.ImageDigest)
	s.cancelMaking(old.Revision)
	s.jobs.rows.Add(step(update))
	s.tell(snap, old.State)
	return nil
}

func gone(s *Snapshot) error {
	return fault.NotFound("SNAPSHOT_NOT_FOUND", fmt.Sprintf("Snapshot %q is being removed.", s.Name))
}
