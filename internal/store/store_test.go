package store

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/permission"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

var (
	_ account.Store  = (*Store)(nil)
	_ snapshot.Store = (*Store)(nil)
	_ sandbox.Store  = (*Store)(nil)
)

func anySnapshots(int) error { return nil }

func anyUsage(sandbox.Usage) error { return nil }

func newSnapshot(org, name string) *snapshot.Snapshot {
	now := time.Now()
	return &snapshot.Snapshot{
		ID: uuid.NewString(), OrganizationID: org, Name: name, CreatedAt: now, UpdatedAt: now,
		Content: snapshot.Content{
			Revision: uuid.NewString(), ImageName: "debian:12.9", State: snapshot.StateActive, ImageDigest: "sha256:x",
			RegionIDs: []string{"us"}, Resources: snapshot.DefaultResources, Entrypoint: []string{"sleep", "infinity"},
		},
	}
}

func newSandbox(org, name string, snap *snapshot.Snapshot) *sandbox.Sandbox {
	now := time.Now()
	return &sandbox.Sandbox{
		ID: uuid.NewString(), OrganizationID: org, Name: name, SnapshotID: snap.ID, Snapshot: snap.Name, ImageDigest: snap.ImageDigest,
		State: sandbox.StateCreating, Desired: sandbox.DesiredStarted, Resources: sandbox.Resources{CPU: 1, Memory: 2, Disk: 3},
		Env: map[string]string{"A": "1"}, Labels: map[string]string{"team": "blue", "odd \"key\"": "100%"},
		AutoStop: time.Minute, AutoDelete: sandbox.NeverDelete, CreatedAt: now, UpdatedAt: now, LastActivityAt: now,
	}
}

func TestRowsAreThereAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "with space", "..", "daytona.db")
	first, err := Open(t.Context(), databaseAt(t, path), testKey, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	snap := newSnapshot("org", "a/b:1")
	if err := first.InsertSnapshot(t.Context(), snap, anySnapshots); err != nil {
		t.Fatal(err)
	}
	sb := newSandbox("org", "box", snap)
	if err := first.InsertSandbox(t.Context(), sb, anyUsage); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	got, err := s.FindSandbox(t.Context(), "org", "box")
	if err != nil || got.ID != sb.ID || got.Labels["odd \"key\""] != "100%" || got.AutoDelete != sandbox.NeverDelete || !got.CreatedAt.Equal(sb.CreatedAt.Truncate(time.Microsecond)) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := s.FindSandbox(t.Context(), "other", sb.ID); !fault.Is(err, fault.KindNotFound) {
		t.Errorf("another organization's sandbox: %v", err)
	}
}

func TestASnapshotNameIsTakenOnceUntilItIsRemoved(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	a := newSnapshot("org", "name")
	if err := s.InsertSnapshot(t.Context(), a, anySnapshots); err != nil {
		t.Fatal(err)
	}
	if err := s.InsertSnapshot(t.Context(), newSnapshot("org", "name"), anySnapshots); !fault.Is(err, fault.KindConflict) {
		t.Errorf("second of the name: %v", err)
	}
	if err := s.InsertSnapshot(t.Context(), newSnapshot("other", "name"), anySnapshots); err != nil {
		t.Errorf("of another organization: %v", err)
	}
	if _, err := s.UpdateSnapshot(t.Context(), a.ID, func(x *snapshot.Snapshot) error { x.State = snapshot.StateRemoving; return nil }); err != nil {
		t.Fatal(err)
	}
	b := newSnapshot("org", "name")
	if err := s.InsertSnapshot(t.Context(), b, anySnapshots); err != nil {
		t.Fatalf("while the old one is being removed: %v", err)
	}
	if got, err := s.FindSnapshot(t.Context(), "org", "name"); err != nil || got.ID != b.ID {
		t.Errorf("found %+v, %v", got, err)
	}
	full := errors.New("full")
	err := s.InsertSnapshot(t.Context(), newSnapshot("org", "more"), func(n int) error {
		if n != 1 {
			t.Errorf("counted %d, want 1", n)
		}
		return full
	})
	if !errors.Is(err, full) {
		t.Errorf("over the quota: %v", err)
	}
}

func TestTheNameOfASharedSnapshotIsReserved(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	general := newSnapshot("", "shared")
	general.General = true
	if err := s.InsertSnapshot(t.Context(), general, anySnapshots); err != nil {
		t.Fatal(err)
	}
	if err := s.InsertSnapshot(t.Context(), newSnapshot("org", "shared"), anySnapshots); !fault.Is(err, fault.KindConflict) || !strings.Contains(err.Error(), "reserved") {
		t.Errorf("one's own of that name: %v", err)
	}
	if _, err := s.UpdateSnapshot(t.Context(), general.ID, func(x *snapshot.Snapshot) error { x.State = snapshot.StateRemoving; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.InsertSnapshot(t.Context(), newSnapshot("org", "shared"), anySnapshots); err != nil {
		t.Errorf("while the shared one is being removed: %v", err)
	}
}

// Whatever else has the name of the default snapshot, sandboxes get one that
// works, and the shared one where it does.
func TestTheDefaultSnapshotIsHiddenByNone(t *testing.T) {
	for _, c := range []struct{ own, general, want snapshot.State }{
		{snapshot.StateActive, snapshot.StateActive, "general"},
		{snapshot.StateError, snapshot.StateActive, "general"},
		{snapshot.StateActive, snapshot.StatePulling, "general"},
		{snapshot.StateBuildFailed, snapshot.StateInactive, "general"},
		{snapshot.StateActive, snapshot.StateError, "own"},
		{snapshot.StateActive, snapshot.StateRemoving, "own"},
		{snapshot.StateError, snapshot.StateError, "general"},
		{snapshot.StateActive, "", "own"},
		{"", snapshot.StateActive, "general"},
	} {
		s := open(t, filepath.Join(t.TempDir(), "db"))
		byID := map[string]snapshot.State{}
		for kind, state := range map[snapshot.State]snapshot.State{"own": c.own, "general": c.general} {
			snap := newSnapshot("org", "default")
			if snap.State = state; kind == "general" {
				snap.OrganizationID, snap.General = "", true
			}
			byID[snap.ID] = kind
			// As if it had been there before the other one.
			if state != "" {
				if _, err := s.write.NewInsert().Model(s.rowOfSnapshot(snap, nil)).Exec(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 2 {
			transient := newSnapshot("org", "default")
			transient.ID, transient.Transient, transient.Replaces = uuid.NewString(), true, uuid.NewString()
			if _, err := s.write.NewInsert().Model(s.rowOfSnapshot(transient, nil)).Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.FindDefault(t.Context(), "org", "default")
		if err != nil || byID[got.ID] != c.want {
			t.Errorf("own %q, general %q: found %+v, %v", c.own, c.general, got, err)
		}
		if _, err := s.FindDefault(t.Context(), "other", "default"); (err == nil) != (c.general != "") {
			t.Errorf("of another organization: %v", err)
		}
	}
}

func TestOwnSnapshotsComeBeforeGeneralOnes(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	general := newSnapshot("", "both")
	general.General = true
	own := newSnapshot("org", "both")
	foreign := newSnapshot("other", "foreign_100%")
	for _, x := range []*snapshot.Snapshot{own, general, foreign} {
		if err := s.InsertSnapshot(t.Context(), x, anySnapshots); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.FindSnapshot(t.Context(), "org", "both"); err != nil || got.ID != own.ID {
		t.Errorf("found %+v, %v", got, err)
	}
	page, total, err := s.ListSnapshots(t.Context(), snapshot.Filter{OrganizationID: "org", Page: 1, Limit: 10})
	if err != nil || total != 2 || page[0].ID != own.ID || page[1].ID != general.ID {
		t.Errorf("listed %v of %d, %v", page, total, err)
	}
	for pattern, want := range map[string]int{"%": 1, "_1": 1, "x": 0, "foreign": 1} {
		if _, total, err := s.ListSnapshots(t.Context(), snapshot.Filter{OrganizationID: "other", Name: pattern, Page: 1, Limit: 10}); err != nil || total != want {
			t.Errorf("name %q matched %d, %v; want %d", pattern, total, err, want)
		}
	}
}

func TestASandboxNameIsTakenOnceUntilItIsToBeDestroyed(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	snap := newSnapshot("org", "snap")
	snap.State = snapshot.StateActive
	if err := s.InsertSnapshot(t.Context(), snap, anySnapshots); err != nil {
		t.Fatal(err)
	}
	insert := func(name string) (*sandbox.Sandbox, error) {
		sb := newSandbox("org", name, snap)
		return sb, s.InsertSandbox(t.Context(), sb, anyUsage)
	}
	var last *sandbox.Sandbox
	for range 3 {
		sb, err := insert("box")
		if err != nil {
			t.Fatalf("while those before are being destroyed: %v", err)
		}
		last = sb
		if _, err := insert("box"); !fault.Is(err, fault.KindConflict) {
			t.Errorf("second of the name: %v", err)
		}
		if got, err := s.FindSandbox(t.Context(), "org", "box"); err != nil || got.ID != sb.ID {
			t.Errorf("found %+v, %v", got, err)
		}
		if _, err := s.UpdateSandbox(t.Context(), sb.ID, func(x *sandbox.Sandbox) error { x.Desired = sandbox.DesiredDestroyed; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.FindSandbox(t.Context(), "org", "box"); err != nil || got.ID != last.ID {
		t.Errorf("the last that is being destroyed is still found: %+v, %v", got, err)
	}
}

func TestASandboxNeedsItsSnapshotActive(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	snap := newSnapshot("org", "snap")
	snap.State = snapshot.StateInactive
	if err := s.InsertSnapshot(t.Context(), snap, anySnapshots); err != nil {
		t.Fatal(err)
	}
	sb := newSandbox("org", "box", snap)
	if err := s.InsertSandbox(t.Context(), sb, anyUsage); !errors.Is(err, sandbox.ErrSnapshotMoved) {
		t.Errorf("got %v", err)
	}
	sb.ImageDigest, sb.State = "", sandbox.StatePulling
	if err := s.InsertSandbox(t.Context(), sb, anyUsage); err != nil {
		t.Errorf("waiting for the snapshot: %v", err)
	}
	if err := s.InsertSandbox(t.Context(), newSandbox("org", "box", snap), anyUsage); !errors.Is(err, sandbox.ErrSnapshotMoved) {
		t.Errorf("got %v", err)
	}
}

func TestCursorsAreStableUnderChange(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	snap := newSnapshot("org", "snap")
	if err := s.InsertSnapshot(t.Context(), snap, anySnapshots); err != nil {
		t.Fatal(err)
	}
	for _, sort := range []sandbox.SortField{sandbox.SortCreated, sandbox.SortName, sandbox.SortCPU, sandbox.SortLastActivity} {
		for _, descending := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s descending %t", sort, descending), func(t *testing.T) {
				org := uuid.NewString()
				want := make(map[string]bool)
				var all []*sandbox.Sandbox
				for i := range 25 {
					sb := newSandbox(org, fmt.Sprintf("box-%02d", i), snap)
					sb.Resources.CPU = i % 3
					all = append(all, sb)
					want[sb.ID] = true
					if err := s.InsertSandbox(t.Context(), sb, anyUsage); err != nil {
						t.Fatal(err)
					}
				}
				seen := make(map[string]bool)
				f := sandbox.Filter{OrganizationID: org, Sort: sort, Descending: descending, Limit: 4}
				for first := true; first || f.Cursor != ""; first = false {
					page, next, err := s.ListSandboxes(t.Context(), f)
					if err != nil {
						t.Fatal(err)
					}
					for _, sb := range page {
						if seen[sb.ID] {
							t.Errorf("%s came twice", sb.Name)
						}
						seen[sb.ID] = true
					}
					if first { // what was listed goes, and something new comes
						if err := s.DeleteSandbox(t.Context(), page[0].ID); err != nil {
							t.Fatal(err)
						}
						if err := s.InsertSandbox(t.Context(), newSandbox(org, "new", snap), anyUsage); err != nil {
							t.Fatal(err)
						}
					}
					f.Cursor = next
				}
				for _, sb := range all {
					if !seen[sb.ID] {
						t.Errorf("%s was never listed", sb.Name)
					}
				}
			})
		}
	}
	if _, _, err := s.ListSandboxes(t.Context(), sandbox.Filter{OrganizationID: "org", Cursor: "garbage", Limit: 1}); !fault.Is(err, fault.KindInvalid) {
		t.Errorf("a bad cursor: %v", err)
	}
}

func TestFiltersSelect(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	snap := newSnapshot("org", "snap")
	if err := s.InsertSnapshot(t.Context(), snap, anySnapshots); err != nil {
		t.Fatal(err)
	}
	box := newSandbox("org", "Box", snap)
	if err := s.InsertSandbox(t.Context(), box, anyUsage); err != nil {
		t.Fatal(err)
	}
	two, hour := 2.0, time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		f    sandbox.Filter
		want int
	}{
		"everything":        {sandbox.Filter{}, 1},
		"label":             {sandbox.Filter{Labels: map[string]string{"team": "blue", "odd \"key\"": "100%"}}, 1},
		"other label value": {sandbox.Filter{Labels: map[string]string{"team": "red"}}, 0},
		"name without case": {sandbox.Filter{NamePrefix: "bO"}, 1},
		"wildcard is text":  {sandbox.Filter{NamePrefix: "%"}, 0},
		"id prefix":         {sandbox.Filter{IDPrefix: box.ID[:8]}, 1},
		"state":             {sandbox.Filter{States: []sandbox.State{sandbox.StateStopped}}, 0},
		"snapshot by name":  {sandbox.Filter{Snapshots: []string{"snap"}}, 1},
		"at least 2 cores":  {sandbox.Filter{CPU: sandbox.Range{Min: &two}}, 0},
		"at most 2 GiB":     {sandbox.Filter{Memory: sandbox.Range{Max: &two}}, 1},
		"created after":     {sandbox.Filter{Created: sandbox.TimeRange{After: &hour}}, 0},
		"created before":    {sandbox.Filter{Created: sandbox.TimeRange{Before: &hour}}, 1},
	} {
		c.f.OrganizationID, c.f.Limit = "org", 10
		page, _, err := s.ListSandboxes(t.Context(), c.f)
		if err != nil || len(page) != c.want {
			t.Errorf("%s: listed %d, %v; want %d", name, len(page), err, c.want)
		}
		if _, total, err := s.PageSandboxes(t.Context(), c.f, 1); err != nil || total != c.want {
			t.Errorf("%s: counted %d, %v; want %d", name, total, err, c.want)
		}
	}
}

func TestKeysAreFoundByHashAndGoForGood(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	now := time.Now()
	u := &account.User{ID: "u", Name: "U", Email: "u@localhost", Admin: true, CreatedAt: now}
	o := &account.Organization{ID: "o", Name: "O", CreatedBy: "u", DefaultRegion: "us", CreatedAt: now, UpdatedAt: now}
	if err := s.Found(t.Context(), u, o); err != nil {
		t.Fatal(err)
	}
	k := &account.Key{Hash: "h", Name: "k", OrganizationID: "o", UserID: "u", Permissions: []permission.Permission{permission.WriteSandboxes}, CreatedAt: now}
	if err := s.InsertKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	again := *k
	again.Hash = "other"
	if err := s.InsertKey(t.Context(), &again); !fault.Is(err, fault.KindConflict) {
		t.Errorf("second of the name: %v", err)
	}
	got, admin, err := s.KeyByHash(t.Context(), "h")
	if err != nil || !admin || len(got.Permissions) != 1 {
		t.Errorf("got %+v, %t, %v", got, admin, err)
	}
	if org, err := s.Organization(t.Context(), "o"); err != nil || org.DefaultRegion != "us" {
		t.Errorf("got %+v, %v", org, err)
	}
	if _, err := s.DeleteKey(t.Context(), "o", "u", "k"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.KeyByHash(t.Context(), "h"); !fault.Is(err, fault.KindNotFound) {
		t.Errorf("after delete: %v", err)
	}
}

func TestEachMigrationIsATransaction(t *testing.T) {
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f, ".tx.up.sql") { // which is what bun goes by
			t.Errorf("%s is not named as one", f)
		}
	}
}

func buildOf(dockerfile string) *snapshot.Build {
	return &snapshot.Build{Dockerfile: dockerfile, Contexts: []string{}, Ref: "ref"}
}
