package sandbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/fault"
)

// recovery knows which rows a new server has not compared with the engine yet.
// Until then nobody may act on what they say: one that says started may have no
// process behind it.
type recovery struct {
	mu    sync.Mutex
	begun bool // it is known which rows there are
	ended bool
	rows  map[string]*unseen
	early []string      // rows that had work before it was known whether they are among them
	moot  []string      // rows that the engine told of before that: its list may be older
	moved chan struct{} // closed and renewed when one of the above changes
	all   chan struct{} // closed when every row was looked at
}

// unseen is a row that is to be looked at.
type unseen struct {
	status *engine.Status // what the engine's list says; nil when it must be asked
}

func newRecovery() *recovery {
	return &recovery{rows: make(map[string]*unseen), moved: make(chan struct{}), all: make(chan struct{})}
}

func (r *recovery) changed() {
	close(r.moved)
	r.moved = make(chan struct{})
	if r.begun && len(r.rows) == 0 && !r.ended {
		r.ended = true
		close(r.all)
	}
}

// begin says which rows are to be looked at, and returns those others whose work
// was postponed.
func (r *recovery) begin(rows map[string]*unseen) (postponed []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.begun {
		return nil
	}
	for _, id := range r.early {
		if rows[id] == nil {
			postponed = append(postponed, id)
		}
	}
	for _, id := range r.moot {
		if rows[id] != nil {
			rows[id].status = nil
		}
	}
	r.begun, r.rows, r.early, r.moot = true, rows, nil, nil
	r.changed()
	return postponed
}

// postpone reports whether the work on a row has to wait, and will be added again.
func (r *recovery) postpone(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.begun {
		r.early = append(r.early, id)
	}
	return !r.begun || r.rows[id] != nil
}

// seen says that a row was looked at.
func (r *recovery) seen(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rows[id] != nil {
		delete(r.rows, id)
		r.changed()
	}
}

// pending reports whether a row is still to be looked at.
func (r *recovery) pending(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.begun || r.rows[id] != nil
}

// status is what the engine's list says of a row, to be used once: nil when the
// engine must be asked.
func (r *recovery) status(id string) *engine.Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.rows[id]
	if u == nil {
		return nil
	}
	st := u.status
	u.status = nil
	return st
}

// outdate says that the engine's list may not be true of a row any more.
func (r *recovery) outdate(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.begun {
		r.moot = append(r.moot, id)
	}
	if u := r.rows[id]; u != nil {
		u.status = nil
	}
}

// listed returns when it is known which rows there are. Errors: ctx's.
func (r *recovery) listed(ctx context.Context) error {
	return r.until(ctx, func() bool { return r.begun })
}

// wait returns when a row was looked at. Errors: ctx's.
func (r *recovery) wait(ctx context.Context, id string) error {
	return r.until(ctx, func() bool { return r.begun && r.rows[id] == nil })
}

func (r *recovery) until(ctx context.Context, is func() bool) error {
	for {
		r.mu.Lock()
		done, moved := is(), r.moved
		r.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// requestPatience is how long a request waits for a row to be looked at.
const requestPatience = 2 * time.Second

// recovered waits a moment for the sandbox to be looked at after a restart of the
// server. Errors: fault of kind Unavailable; ctx's.
func (s *Service) recovered(ctx context.Context, id string) error {
	limited, cancel := context.WithTimeout(ctx, requestPatience)
	defer cancel()
	if err := s.recovery.wait(limited, id); err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	e := fault.Unavailable("RECOVERING", "The server has just started and has not looked at the sandbox yet: try again in a moment.")
	e.RetryAfter = requestPatience
	return e
}

// Recovered is closed when every row was compared with the engine after a
// restart, or could not be in its time.
func (s *Service) Recovered() <-chan struct{} { return s.recovery.all }

// resumePatience is how long Resume waits for rows that take long.
const resumePatience = 2 * observePatience

// Resume compares the rows with the engine, however the last server ended, several
// at once, and returns when each was looked at, or after resumePatience since it is
// known which there are: until theirs was, requests for those left are refused. One
// that cannot be compared is in StateError then, and tried again. What the engine has
// to do for a row is the job of that row. The controller must run. Errors: ctx's.
func (s *Service) Resume(ctx context.Context) error {
	select {
	case <-s.recovery.all:
		return nil
	default:
		s.jobs.recovery.Add(controller.Job{Key: "all"})
	}
	if err := s.recovery.listed(ctx); err != nil {
		return fmt.Errorf("resume sandboxes: %w", err)
	}
	late := time.NewTimer(resumePatience)
	defer late.Stop()
	select {
	case <-s.recovery.all:
	case <-late.C:
		s.config.Log.Warn("some sandboxes are not recovered yet; the others are")
	case <-ctx.Done():
		return fmt.Errorf("resume sandboxes: %w", ctx.Err())
	}
	s.jobs.records.Add(controller.Job{Key: "all"})
	return nil
}

// recoverAll is the job that finds out which rows are to be looked at, as the
// engine's list is enough for most. It is done again when events of the engine may
// have been missed.
func (s *Service) recoverAll(ctx context.Context, _ *controller.Task) error {
	rows, err := s.config.Store.AllSandboxes(ctx)
	if err != nil {
		return fmt.Errorf("resume sandboxes: %w", err)
	}
	pools, err := s.config.Store.WarmPools(ctx, "")
	if err != nil {
		return fmt.Errorf("resume warm pools: %w", err)
	}
	here := s.listed(ctx)
	todo := make(map[string]*unseen)
	var look []*Sandbox
	for _, sb := range rows {
		st := here[sb.ID]
		stopped := st != nil && st.Phase == engine.PhaseStopped
		runs := st != nil && st.Phase == engine.PhaseRunning
		switch {
		case sb.WarmPoolID == "" && stopped && (sb.State == StateStopped && !sb.Ephemeral() || sb.State == StateError && !sb.unrecovered()):
			continue // as most are
		case sb.State == StateStarted && runs && !s.recovery.pending(sb.ID):
			continue // which was looked at before
		}
		todo[sb.ID] = &unseen{status: st}
		look = append(look, sb)
	}
	for _, id := range s.recovery.begin(todo) { // made since they were listed
		s.jobs.rows.Add(controller.Job{Key: id})
	}
	// What no row knows is not ours to delete: package quarantine has it.
	for _, sb := range look {
		s.jobs.observe.Add(job(sb))
	}
	for _, p := range pools {
		s.jobs.pools.Add(pool(p.ID, p.OrganizationID))
	}
	return nil
}

// listed is what the engine has, as far as it tells of all at once.
func (s *Service) listed(ctx context.Context) map[string]*engine.Status {
	limited, cancel := context.WithTimeout(ctx, observePatience)
	defer cancel()
	found, err := s.config.Engine.List(limited)
	if err != nil {
		s.config.Log.Error("list the sandboxes of the engine, which is asked for each", "err", err)
	}
	here := make(map[string]*engine.Status, len(found))
	for _, st := range found {
		if st.Phase != engine.PhaseFailed { // which is asked for once more
			here[st.ID] = &st
		}
	}
	return here
}

// observe is the job that makes a row say what the engine sees.
func (s *Service) observe(ctx context.Context, t *controller.Task) error {
	limited, cancel := context.WithTimeout(ctx, observePatience)
	defer cancel()
	sb, err := s.look(limited, t.Key)
	if err != nil && ctx.Err() == nil && s.recovery.pending(t.Key) {
		err = errors.Join(err, s.giveUp(ctx, t.Key, err))
	}
	if err != nil && ctx.Err() != nil {
		return err
	}
	s.recovery.seen(t.Key)
	if sb == nil {
		return err
	}
	s.jobs.rows.Add(job(sb))
	s.addChanges(sb)
	if sb.WarmPoolID != "" {
		s.jobs.pools.Add(pool(sb.WarmPoolID, sb.OrganizationID)) // which may be deleted
	}
	return err
}

// look compares a row with the engine, and returns the row as it was.
func (s *Service) look(ctx context.Context, id string) (*Sandbox, error) {
	unlock, err := s.settings.Lock(ctx, id) // nothing is started meanwhile
	if err != nil {
		return nil, err
	}
	defer unlock()
	sb, err := s.config.Store.Sandbox(ctx, id)
	if fault.Is(err, fault.KindNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read sandbox %s: %w", id, err)
	}
	if !sb.State.Settled() || sb.Damaged {
		return sb, nil // its own job sees for itself, and the other's owner decides
	}
	st := s.recovery.status(id)
	known := st != nil
	if !known {
		now, err := s.config.Engine.Inspect(ctx, id)
		if err != nil && !errors.Is(err, engine.ErrNotFound) {
			return sb, fmt.Errorf("inspect sandbox %s: %w", id, err)
		}
		st, known = &now, err == nil
	}
	return sb, s.square(ctx, sb, known, *st)
}

// square makes one row say what the engine saw.
func (s *Service) square(ctx context.Context, sb *Sandbox, known bool, st engine.Status) error {
	running := known && st.Phase == engine.PhaseRunning
	switch {
	case sb.WarmPoolID != "" && (sb.State != StateStarted || !running):
		return s.drop(ctx, sb)
	case known && st.Phase == engine.PhaseFailed: // the engine tries again, and tells
		return s.giveUp(ctx, sb.ID, errors.New(st.Problem))
	case sb.State == StateStarted && !running:
		return s.lostRunning(ctx, sb.ID, known, st)
	case sb.State == StateStopped && !known:
		return s.apply(ctx, sb.ID, func(sb *Sandbox) error { return sb.enter(StateError, diskLost, s.config.Clock.Now()) })
	case sb.State == StateError && sb.Desired == DesiredStarted && running, sb.unrecovered():
		return s.apply(ctx, sb.ID, func(now *Sandbox) error { return s.recoverLate(now, known, running, st) })
	case running && (sb.State == StateStopped || sb.State == StateError):
		if err := s.config.Engine.Stop(ctx, sb.ID, 0); err != nil && !errors.Is(err, engine.ErrNotFound) {
			return fmt.Errorf("stop sandbox %s: %w", sb.ID, err)
		}
	}
	return nil
}

// recoverLate lets a sandbox in StateError go on that could not be recovered, or
// whose start failed when it ran already: to start it again changes nothing there.
func (s *Service) recoverLate(sb *Sandbox, known, running bool, st engine.Status) error {
	now := s.config.Clock.Now()
	switch {
	case sb.State != StateError:
		return nil
	case !known:
		return sb.lose(now)
	case sb.Desired == DesiredStarted && (running || !st.Booted):
		return sb.enter(StateStarting, "", now)
	}
	sb.Desired = DesiredStopped
	return sb.enter(StateStopping, "", now)
}

// giveUp puts a sandbox that could not be compared with the engine into
// StateError, until it can be.
func (s *Service) giveUp(ctx context.Context, id string, why error) error {
	s.config.Log.Error("a sandbox could not be recovered, and is tried again", "sandbox", id, "err", why)
	limited, cancel := context.WithTimeout(ctx, observePatience)
	defer cancel()
	return s.apply(limited, id, func(sb *Sandbox) error {
		switch sb.State {
		case StateDestroying, StateError, StateBuildFailed:
			return nil
		}
		return sb.enter(StateError, fmt.Sprintf("%s: %v", notRecovered, why), s.config.Clock.Now())
	})
}

const (
	notRecovered = "The sandbox could not be recovered, which the server tries again"
	diskLost     = "The sandbox's disk is no longer on this machine."
)

// unrecovered reports whether giveUp has put the sandbox where it is.
func (s *Sandbox) unrecovered() bool {
	return s.State == StateError && strings.HasPrefix(s.ErrorReason, notRecovered)
}

// lose writes down that the sandbox's disk is gone.
func (s *Sandbox) lose(now time.Time) error {
	s.Desired = DesiredStopped
	return s.enter(StateError, diskLost, now)
}

// lostRunning decides what becomes of a sandbox that should run and does not: a
// reboot of the machine ends them all, and they start again; otherwise it ended
// while no server watched.
func (s *Service) lostRunning(ctx context.Context, id string, known bool, st engine.Status) error {
	exit := engine.Exit{}
	if st.Exit != nil {
		exit = *st.Exit
	}
	return s.apply(ctx, id, func(sb *Sandbox) error {
		switch {
		case sb.State != StateStarted:
			return nil
		case !known:
			return sb.lose(s.config.Clock.Now())
		case !st.Booted:
			return sb.enter(StateStarting, "", s.config.Clock.Now())
		}
		return s.end(sb, exit)
	})
}
