package snapshot

import (
	"context"
	"fmt"
	"time"

	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/fairqueue"
	"github.com/opendaytona/daytona/internal/fault"
)

// jobs are the classes of work on snapshots. The rows' own steps are short. Jobs
// that make an image have the revision of the content that they make as their
// key: an update that is made exchanges the contents of two rows.
type jobs struct {
	recovery *controller.Class // of all, once
	rows     *controller.Class // by id
	pulls    *controller.Class // by revision
	builds   *controller.Class // by revision
	captures *controller.Class // by revision
	releases *controller.Class // of images that sandboxes stood on, by digest
}

// How many jobs of a class run at once.
const (
	stepsAtOnce         = 16
	stepsOfOrganization = 8
	releasesAtOnce      = 2

	// A pull lasts as long as its registry likes, so a slow one, or somebody who
	// pulls a lot, takes places of their own only.
	pullsAtOnce             = 64
	pullsOfOrganization     = 16
	pullsOfRegistry         = 16
	pullsOfRegistryForOwner = 8 // half, so that no registry keeps an organization from the others
)

const (
	stepPatience = 2 * time.Minute
	retryBuild   = 5 * time.Second
)

func (s *Service) newJobs() jobs {
	c := s.config.Controller
	return jobs{
		recovery: c.Class(controller.ClassOptions{Name: "snapshot_recovery", Limit: 1, Timeout: stepPatience, Run: s.resume}),
		rows: c.Class(controller.ClassOptions{
			Name: "snapshot", Limit: stepsAtOnce, PerTenant: stepsOfOrganization, Timeout: stepPatience, Run: s.reconcile, Resync: s.unsettled,
		}),
		pulls:    c.Class(controller.ClassOptions{Name: "pull", Limit: pullsAtOnce, PerTenant: pullsOfOrganization, Pause: retryBuild, OwnTurn: true, Run: s.pull}),
		builds:   c.Class(controller.ClassOptions{Name: "build", Limit: max(s.config.Builds, 1), Pause: retryBuild, OwnTurn: true, Run: s.build}),
		captures: c.Class(controller.ClassOptions{Name: "capture", Limit: max(s.config.Builds, 1), Pause: retryBuild, OwnTurn: true, Run: s.capture}),
		releases: c.Class(controller.ClassOptions{Name: "image_release", Limit: releasesAtOnce, Timeout: stepPatience, Run: func(ctx context.Context, t *controller.Task) error {
			return s.custody.sandboxGone(ctx, t.Key)
		}}),
	}
}

// pullBounds are those besides the limits of the class.
func pullBounds(organizationID, registry string) []fairqueue.Bound {
	return []fairqueue.Bound{
		{Key: "registry " + registry, Most: pullsOfRegistry},
		{Key: "organization " + organizationID + " registry " + registry, Most: pullsOfRegistryForOwner},
	}
}

// step is the job of a snapshot's row.
func step(snap *Snapshot) controller.Job {
	return controller.Job{Key: snap.ID, Tenant: snap.OrganizationID}
}

// making is the job that makes a snapshot's content.
func making(snap *Snapshot) controller.Job {
	return controller.Job{Key: snap.Revision, Row: snap.ID, Tenant: snap.OrganizationID}
}

// cancelMaking ends the work on a content that is not wanted any more.
func (s *Service) cancelMaking(revision string) {
	for _, class := range []*controller.Class{s.jobs.pulls, s.jobs.builds, s.jobs.captures} {
		class.Cancel(revision)
	}
}

// stopMaking is cancelMaking, and returns when nothing of the work goes on.
func (s *Service) stopMaking(ctx context.Context, revision string) error {
	for _, class := range []*controller.Class{s.jobs.pulls, s.jobs.builds, s.jobs.captures} {
		if err := class.Stop(ctx, revision); err != nil {
			return err
		}
	}
	return nil
}

// wanted is the snapshot whose content the job is to make; nil when that is not
// wanted any more. As the job runs already, the answer holds until it is stopped.
func (s *Service) wanted(ctx context.Context, t *controller.Task, wanted func(State) bool) (*Snapshot, error) {
	snap, err := s.config.Store.Snapshot(ctx, t.Row)
	if fault.Is(err, fault.KindNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read snapshot %s: %w", t.Row, err)
	}
	if snap.Revision != t.Key || !wanted(snap.State) {
		return nil, nil
	}
	return snap, nil
}

// unsettled lists the rows that need work.
func (s *Service) unsettled(ctx context.Context) ([]controller.Job, error) {
	all, err := s.config.Store.SnapshotsIn(ctx, StatePending, StateBuilding, StatePulling, StateSnapshotting, StateRemoving)
	if err != nil {
		return nil, fmt.Errorf("list snapshots that need work: %w", err)
	}
	steps := make([]controller.Job, len(all))
	for i, snap := range all {
		steps[i] = step(snap)
	}
	return steps, nil
}
