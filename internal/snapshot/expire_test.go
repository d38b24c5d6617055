package snapshot_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/buildlog"
	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/oci"
	"github.com/opendaytona/daytona/internal/quota"
	"github.com/opendaytona/daytona/internal/region"
	"github.com/opendaytona/daytona/internal/secretbox"
	"github.com/opendaytona/daytona/internal/snapshot"
	"github.com/opendaytona/daytona/internal/store"
)

// images has every image, and remembers who holds which.
type images struct {
	mu   sync.Mutex
	held map[string]string
}

func (i *images) ValidateReference(string) error { return nil }

func (i *images) Registry(ref string) string { return oci.RegistryOf(ref) }

func (i *images) Pull(_ context.Context, _, ref, owner string, _ func(string)) (*oci.Image, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.held[owner] = ref
	return &oci.Image{Digest: ref, DefaultUser: "root"}, nil
}

func (i *images) Image(_ context.Context, digest string) (*oci.Image, error) {
	return &oci.Image{Digest: digest, DefaultUser: "root"}, nil
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

func (i *images) Pinned(ref, _ string) (string, error) { return ref, nil }

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
	all := map[string]string{}
	for k, v := range i.held {
		all[k] = v
	}
	return all, nil
}

type silence struct{}

func (silence) SnapshotCreated(*snapshot.Snapshot)                      {}
func (silence) SnapshotStateChanged(*snapshot.Snapshot, snapshot.State) {}
func (silence) SnapshotRemoved(*snapshot.Snapshot)                      {}

const fortnight = 14 * 24 * time.Hour

// service runs the service on the real store, with a clock that stands still.
func service(t *testing.T) (*snapshot.Service, *clocktesting.FakeClock, *images, string) {
	t.Helper()
	store := &images{held: map[string]string{}}
	s, clock, organization := serviceWith(t, store, store, 5, 1)
	return s, clock, store, organization
}

// serviceWith pulls to one place, and makes images in another, so many at once.
func serviceWith(t *testing.T, pulls snapshot.Images, made *images, most, builds int) (*snapshot.Service, *clocktesting.FakeClock, string) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "db"), secretbox.NewKey(), log)
	if err != nil {
		t.Fatal(err)
	}
	clock := clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	accounts := account.NewService(account.Config{
		Store: db, Clock: clock, DefaultRegion: "us", DeactivateAfter: fortnight,
		Quota: quota.Limits{MaxCPU: 4, MaxMemory: 8, MaxDisk: 10, TotalCPU: 6, TotalMemory: 20, TotalDisk: 40, Snapshots: most},
	})
	key, err := accounts.Bootstrap(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	who, err := accounts.Authenticate(t.Context(), key, "")
	if err != nil {
		t.Fatal(err)
	}
	logs, err := buildlog.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	jobs := controller.New(controller.Options{Log: log})
	s := snapshot.NewService(snapshot.Config{
		Controller: jobs, Builder: &builder{images: made}, Builds: builds, Captures: &disks{images: made, kept: map[string]bool{}, gone: map[string]bool{}},
		Store: db, Images: pulls, Limits: accounts, Events: silence{}, Logs: logs, Clock: clock, Log: log,
		Regions: &region.Service{Regions: []region.Region{{ID: "us", Name: "us"}}, OrganizationDefault: accounts.OrganizationRegion},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{jobs.Run, s.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, clock, who.OrganizationID
}

func create(t *testing.T, s *snapshot.Service, organization, name string, general bool) *snapshot.Snapshot {
	t.Helper()
	snap, err := s.Create(t.Context(), organization, general, snapshot.CreateParams{Name: name, ImageName: name + ":1"})
	if err == nil {
		snap, err = s.Settle(t.Context(), snap)
	}
	if err != nil || snap.State != snapshot.StateActive {
		t.Fatalf("%+v, %v", snap, err)
	}
	return snap
}

func TestUnusedSnapshotsBecomeInactiveAndLetTheirImageGo(t *testing.T) {
	s, clock, images, organization := service(t)
	unused, used, general := create(t, s, organization, "unused", false), create(t, s, organization, "used", false), create(t, s, organization, "general", true)
	state := func(snap *snapshot.Snapshot) snapshot.State {
		t.Helper()
		now, err := s.Get(t.Context(), organization, snap.ID)
		if err != nil {
			t.Fatal(err)
		}
		return now.State
	}

	clock.SetTime(clock.Now().Add(fortnight - time.Second))
	if err := s.Used(t.Context(), used); err != nil {
		t.Fatal(err)
	}
	if err := s.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := state(unused); got != snapshot.StateActive {
		t.Errorf("a second too early it is %s", got)
	}

	clock.SetTime(clock.Now().Add(time.Second))
	if err := s.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	for snap, want := range map[*snapshot.Snapshot]snapshot.State{unused: snapshot.StateInactive, used: snapshot.StateActive, general: snapshot.StateActive} {
		if got := state(snap); got != want {
			t.Errorf("%s is %s, want %s", snap.Name, got, want)
		}
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		owners, err := images.Owners(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(owners) == 2 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("images are held by %v", owners)
		}
	}

	again, err := s.Activate(t.Context(), organization, "unused")
	if err == nil {
		again, err = s.Settle(t.Context(), again)
	}
	if err != nil || again.State != snapshot.StateActive {
		t.Fatalf("%+v, %v", again, err)
	}
}

func (*images) Contents(context.Context, string) (oci.Contents, error) { return everything{}, nil }

// everything is an image that has every program and user.
type everything struct{}

func (everything) Has(string) bool              { return false }
func (everything) HasProgram(string) bool       { return true }
func (everything) Lacks(string) (string, error) { return "", nil }
