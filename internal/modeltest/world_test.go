package modeltest

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/buildlog"
	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/enginetest"
	"github.com/opendaytona/daytona/internal/oci"
	"github.com/opendaytona/daytona/internal/quota"
	"github.com/opendaytona/daytona/internal/region"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/secretbox"
	"github.com/opendaytona/daytona/internal/snapshot"
	"github.com/opendaytona/daytona/internal/store"
)

const maxCPU = 6

// world is a machine, and the server on it that is started again and again.
type world struct {
	t         *testing.T
	dir, logs string
	key       *secretbox.Key
	machine   *enginetest.Machine
	images    *images
	events    *events
	order     map[string]int // of creation

	organization string
	limits       limits
	snapshots    *snapshot.Service
	sandboxes    *sandbox.Service
	db           *store.Store
	stop         func()
}

// newWorld makes the database and an organization in it. Unlike the rest it is
// called outside the bubble: an account service never ends.
func newWorld(t *testing.T) *world {
	key, dir := secretbox.NewKey(), t.TempDir()
	db, err := store.Open(t.Context(), filepath.Join(dir, "db"), key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	accounts := account.NewService(account.Config{
		Store: db, Clock: clock.RealClock{}, DefaultRegion: "us",
		Quota: quota.Limits{MaxCPU: 4, MaxMemory: 8, MaxDisk: 10, TotalCPU: maxCPU, TotalMemory: 20, TotalDisk: 40, Snapshots: 30},
	})
	admin, err := accounts.Bootstrap(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	who, err := accounts.Authenticate(t.Context(), admin, "")
	if err != nil {
		t.Fatal(err)
	}
	return &world{
		organization: who.OrganizationID, limits: limits{accounts},
		dir: dir, logs: t.TempDir(), key: key, machine: enginetest.NewMachine(), order: map[string]int{},
		images: &images{held: map[string]string{}, captures: map[string]bool{}}, events: &events{states: map[string]sandbox.State{}},
	}
}

// limits are the quotas, and what needs no database.
type limits struct{ *account.Service }

func (limits) LimitedEgress(context.Context, string) (bool, error) { return false, nil }
func (limits) DeactivateAfter() time.Duration                      { return 14 * 24 * time.Hour }

// start is a start of the server.
func (w *world) start() {
	t := w.t
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	db, err := store.Open(t.Context(), filepath.Join(w.dir, "db"), w.key, log)
	if err != nil {
		t.Fatal(err)
	}
	logs, err := buildlog.New(w.logs)
	if err != nil {
		t.Fatal(err)
	}
	here := w.machine.Open()
	regions := &region.Service{Regions: []region.Region{{ID: "us", Name: "us"}}, OrganizationDefault: func(context.Context, string) (string, error) { return "us", nil }}
	jobs := controller.New(controller.Options{Log: log})
	w.snapshots = snapshot.NewService(snapshot.Config{
		Store: db, Images: w.images, Captures: captures{here, w.images}, Builder: noBuilder{}, Builds: 1, Regions: regions, Limits: w.limits,
		Events: w.events, Logs: logs, Clock: clock.RealClock{}, Log: log, Controller: jobs,
	})
	w.sandboxes = sandbox.NewService(sandbox.Config{
		Store: db, Secrets: w.key, Engine: here, Agents: agents{}, Snapshots: w.snapshots, Regions: regions, Limits: w.limits, Events: w.events,
		Clock: clock.RealClock{}, Log: log, DefaultSnapshot: "base-0", Controller: jobs, StopGrace: time.Second,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{jobs.Run, w.snapshots.Run, w.sandboxes.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("a service ended: %v", err)
			}
		})
	}
	w.db = db
	w.stop = func() {
		cancel()
		running.Wait()
		if err := errors.Join(here.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}
}

// end is the end of the server; what runs on the machine runs on.
func (w *world) end() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

// settle waits until no row is between two states; the clock is the bubble's.
func (w *world) settle(when string) []*sandbox.Sandbox {
	w.t.Helper()
	var last string
	// Longer than the pauses of what failed once: the events tell of all else, and
	// nothing may wait for the next comparison of all rows.
	time.Sleep(30 * time.Second)
	for range 400 {
		time.Sleep(3 * time.Second)
		rows, err := w.db.AllSandboxes(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		last = ""
		for _, sb := range rows {
			if !sb.State.Settled() {
				last = "sandbox " + sb.ID + " is " + string(sb.State)
			}
		}
		snaps, _, err := w.db.ListSnapshots(w.t.Context(), snapshot.Filter{OrganizationID: w.organization, Page: 1, Limit: 100})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, s := range snaps {
			if !s.State.Settled() {
				last = "snapshot " + s.Name + " is " + string(s.State)
			}
		}
		if last == "" {
			return rows
		}
	}
	w.t.Fatalf("%s: it does not settle: %s", when, last)
	return nil
}

// events remembers the last state of each sandbox that was told.
type events struct {
	mu     sync.Mutex
	states map[string]sandbox.State
}

func (e *events) set(id string, s sandbox.State) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.states[id] = s
}

func (e *events) state(id string) sandbox.State {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.states[id]
}

func (e *events) SandboxCreated(s *sandbox.Sandbox)                          { e.set(s.ID, s.State) }
func (e *events) SandboxStateChanged(s *sandbox.Sandbox, _ sandbox.State)    { e.set(s.ID, s.State) }
func (*events) SandboxDesiredStateChanged(*sandbox.Sandbox, sandbox.Desired) {}
func (*events) SnapshotCreated(*snapshot.Snapshot)                           {}
func (*events) SnapshotStateChanged(*snapshot.Snapshot, snapshot.State)      {}
func (*events) SnapshotRemoved(*snapshot.Snapshot)                           {}

type agents struct{}

func (agents) Configure(context.Context, string, string, map[string]string) error { return nil }

// images has every image, and remembers who holds which.
type images struct {
	mu       sync.Mutex
	held     map[string]string
	captures map[string]bool
	failures int
}

type message string

func (m message) Error() string   { return string(m) }
func (m message) Message() string { return string(m) }

// fail lets so many of the next pulls fail.
func (i *images) fail(n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.failures = n
}

func (*images) ValidateReference(string) error       { return nil }
func (*images) Registry(string) string               { return "registry.test" }
func (*images) Pinned(ref, _ string) (string, error) { return ref, nil }

func (i *images) Pull(_ context.Context, _, ref, owner string, _ func(string)) (*oci.Image, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.failures > 0 {
		i.failures--
		return nil, message("the registry is tired")
	}
	i.held[owner] = ref
	return &oci.Image{Digest: ref, DefaultUser: "root"}, nil
}

func (i *images) Image(_ context.Context, digest string) (*oci.Image, error) {
	return &oci.Image{Digest: digest, DefaultUser: "root"}, nil
}

func (i *images) Hold(_ context.Context, owner, digest string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.held[owner] = digest
	return nil
}

func (i *images) Release(_ context.Context, owner string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.held, owner)
	return nil
}

func (i *images) Owners(context.Context) (map[string]string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return maps.Clone(i.held), nil
}

func (i *images) holds(digest string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, held := range i.held {
		if held == digest {
			return true
		}
	}
	return false
}

// captures makes images of disks.
type captures struct {
	engine.Capturer
	images *images
}

func (c captures) Commit(ctx context.Context, name, _, owner string) (*oci.Image, error) {
	digest := "capture/" + name
	return &oci.Image{Digest: digest, DefaultUser: "root"}, c.images.Hold(ctx, owner, digest)
}

type noBuilder struct{}

func (noBuilder) Build(context.Context, snapshot.BuildRequest) (*oci.Image, error) {
	return nil, message("nothing is built here")
}
func (noBuilder) Versions(context.Context, string, []string) ([]string, error) { return nil, nil }

// Contents is snapshot.Images: each image has every program and user.
func (i *images) Contents(context.Context, string) (oci.Contents, error) { return everything{}, nil }

type everything struct{}

func (everything) Has(string) bool              { return false }
func (everything) HasProgram(string) bool       { return true }
func (everything) Lacks(string) (string, error) { return "", nil }
