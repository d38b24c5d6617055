package sandbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/fault"
)

// jobs are the classes of work on sandboxes, by the id of a sandbox where nothing
// else is said. What changes a running sandbox has its own: it need not wait
// for a place among sandboxes that take long to end.
type jobs struct {
	recovery  *controller.Class // of all, once
	observe   *controller.Class // makes the row say what the engine sees
	rows      *controller.Class // makes the engine do what the row says
	kills     *controller.Class // of sandboxes whose orderly stop goes on
	networks  *controller.Class
	sizes     *controller.Class
	pools     *controller.Class // of warm sandboxes, by the pool's id
	snapshots *controller.Class // what waits for a snapshot that has changed, by movedKey
	records   *controller.Class // of all sandboxes beside their disks, once
}

// How many jobs of a class run at once. Of one organization there are half as
// many, so that sandboxes that do not end keep nobody else's waiting.
const (
	sandboxesAtOnce = 64
	changesAtOnce   = 32
	poolsAtOnce     = 4
)

// endPatience is how long the engine may take to end a sandbox after its grace
// and free what it held. One that resists is tried again later, so that it takes
// no place for good. observePatience is how long it may take to tell of one, and
// syncPatience to change one that runs.
const (
	endPatience     = time.Minute
	observePatience = 30 * time.Second
	syncPatience    = 30 * time.Second
)

func (s *Service) newJobs() jobs {
	class := func(name string, atOnce int, run func(context.Context, *controller.Task) error, edit ...func(*controller.ClassOptions)) *controller.Class {
		o := controller.ClassOptions{Name: name, Limit: atOnce, PerTenant: atOnce / 2, Run: run}
		for _, f := range edit {
			f(&o)
		}
		return s.config.Controller.Class(o)
	}
	within := func(d time.Duration) func(*controller.ClassOptions) {
		return func(o *controller.ClassOptions) { o.Timeout = d }
	}
	resync := func(list func(context.Context) ([]Work, error), of func(Work) bool) func(*controller.ClassOptions) {
		return func(o *controller.ClassOptions) {
			o.Resync = func(ctx context.Context) ([]controller.Job, error) {
				all, err := list(ctx)
				if err != nil {
					return nil, fmt.Errorf("list sandboxes that need work: %w", err)
				}
				var jobs []controller.Job
				for _, w := range all {
					if of(w) {
						jobs = append(jobs, controller.Job{Key: w.ID, Tenant: w.OrganizationID})
					}
				}
				return jobs, nil
			}
		}
	}
	soon := func(o *controller.ClassOptions) { o.Pause = 500 * time.Millisecond }
	unshared := func(o *controller.ClassOptions) { o.PerTenant = 0 } // each has a deadline
	any := func(Work) bool { return true }
	return jobs{
		recovery:  class("sandbox_recovery", 1, s.recoverAll),
		observe:   class("sandbox_observation", sandboxesAtOnce, s.observe, unshared, soon, resync(s.endedUnseen, any)),
		rows:      class("sandbox", sandboxesAtOnce, s.reconcile, soon, resync(s.config.Store.UnsettledSandboxes, any)),
		kills:     class("sandbox_kill", changesAtOnce, s.kill, within(s.config.StopGrace+endPatience)),
		networks:  class("sandbox_network", changesAtOnce, s.applyNetwork, soon, within(syncPatience), resync(s.config.Store.UnappliedSandboxes, func(w Work) bool { return w.Network })),
		sizes:     class("sandbox_size", changesAtOnce, s.applySize, soon, within(syncPatience), resync(s.config.Store.UnappliedSandboxes, func(w Work) bool { return w.Size })),
		pools:     class("warm_pool", poolsAtOnce, s.reconcilePool),
		snapshots: class("snapshot_change", poolsAtOnce, s.wake),
		records:   class("sandbox_records", 1, s.noteAll),
	}
}

// job is the job of a sandbox, in any class whose keys are sandboxes.
func job(sb *Sandbox) controller.Job { return controller.Job{Key: sb.ID, Tenant: sb.OrganizationID} }

// pool is the job of a warm pool.
func pool(id, organizationID string) controller.Job {
	return controller.Job{Key: id, Tenant: organizationID}
}

// endedUnseen lists the sandboxes that should run and do not.
func (s *Service) endedUnseen(ctx context.Context) ([]Work, error) {
	rows, err := s.config.Store.StartedSandboxes(ctx)
	if err != nil {
		return nil, err
	}
	here, err := s.config.Engine.List(ctx)
	if err != nil {
		return nil, err
	}
	runs := make(map[string]bool, len(here))
	for _, st := range here {
		runs[st.ID] = st.Phase == engine.PhaseRunning
	}
	var ended []Work
	for _, w := range rows { // those that ended or started meanwhile are looked at again
		if !runs[w.ID] {
			ended = append(ended, w)
		}
	}
	return ended, nil
}

// kill is the job that ends a sandbox at once, while its orderly stop may be
// waiting: the engine serializes the two.
func (s *Service) kill(ctx context.Context, t *controller.Task) error {
	sb, err := s.config.Store.Sandbox(ctx, t.Key)
	if fault.Is(err, fault.KindNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if sb.State != StateStopping {
		return nil
	}
	if err := s.config.Engine.Stop(ctx, sb.ID, 0); err != nil && !errors.Is(err, engine.ErrNotFound) {
		return fmt.Errorf("kill sandbox %s: %w", sb.ID, err)
	}
	return nil
}
