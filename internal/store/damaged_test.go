package store

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

func TestADamagedRowHidesNoOtherAndCanOnlyBeDeleted(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	snap := newSnapshot("org", "snap")
	if err := s.InsertSnapshot(t.Context(), snap, anySnapshots); err != nil {
		t.Fatal(err)
	}
	good := newSandbox("org", "good", snap)
	if err := s.InsertSandbox(t.Context(), good, anyUsage); err != nil {
		t.Fatal(err)
	}
	columns := map[string]string{"entrypoint": "[", "network": "nonsense"}
	for column, text := range columns {
		sb := newSandbox("org", column, snap)
		sb.State = sandbox.StateStarted
		if err := s.InsertSandbox(t.Context(), sb, anyUsage); err != nil {
			t.Fatal(err)
		}
		if _, err := s.write.ExecContext(t.Context(), "UPDATE sandboxes SET "+column+" = ? WHERE id = ?", text, sb.ID); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.AllSandboxes(t.Context())
	if err != nil || len(all) != 1+len(columns) {
		t.Fatalf("%d sandboxes, %v", len(all), err)
	}
	page, _, err := s.ListSandboxes(t.Context(), sandbox.Filter{OrganizationID: "org", Limit: 10})
	if err != nil || len(page) != len(all) {
		t.Errorf("%d are listed, %v", len(page), err)
	}
	for column := range columns {
		sb, err := s.FindSandbox(t.Context(), "org", column)
		if err != nil || !sb.Damaged || sb.State != sandbox.StateError || !strings.Contains(sb.ErrorReason, column) || !sb.Network.BlockAll || sb.Recoverable {
			t.Errorf("%s: %+v, %v", column, sb, err)
			continue
		}
		_, err = s.UpdateSandbox(t.Context(), sb.ID, func(sb *sandbox.Sandbox) error { sb.Public = true; return nil })
		if !fault.Is(err, fault.KindConflict) {
			t.Errorf("a change of %s: %v", column, err)
		}
		_, err = s.UpdateSandbox(t.Context(), sb.ID, func(sb *sandbox.Sandbox) error {
			sb.Desired, sb.State = sandbox.DesiredDestroyed, sandbox.StateDestroying
			return nil
		})
		if err != nil {
			t.Errorf("the deletion of %s: %v", column, err)
		}
		if now, err := s.Sandbox(t.Context(), sb.ID); err != nil || now.State != sandbox.StateDestroying {
			t.Errorf("%s: %+v, %v", column, now, err)
		}
		if err := s.DeleteSandbox(t.Context(), sb.ID); err != nil {
			t.Error(err)
		}
	}
	if sb, err := s.Sandbox(t.Context(), good.ID); err != nil || sb.Damaged || sb.Env["A"] != "1" || sb.Labels["team"] != "blue" {
		t.Errorf("the good one is %+v, %v", sb, err)
	}
}

func TestADamagedSnapshotHidesNoOtherAndCanOnlyBeDeleted(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	columns := map[string]string{"entrypoint": "[", "region_ids": "us"}
	for column := range columns {
		if err := s.InsertSnapshot(t.Context(), newSnapshot("org", column), anySnapshots); err != nil {
			t.Fatal(err)
		}
	}
	good := newSnapshot("org", "good")
	if err := s.InsertSnapshot(t.Context(), good, anySnapshots); err != nil {
		t.Fatal(err)
	}
	for column, text := range columns {
		if _, err := s.write.ExecContext(t.Context(), "UPDATE snapshots SET "+column+" = ? WHERE name = ?", text, column); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := s.SnapshotsIn(t.Context()); err != nil || len(all) != 1+len(columns) {
		t.Fatalf("%d snapshots, %v", len(all), err)
	}
	for column := range columns {
		snap, err := s.FindSnapshot(t.Context(), "org", column)
		if err != nil || !snap.Damaged || snap.State != snapshot.StateError || !strings.Contains(snap.ErrorReason, "damaged") {
			t.Errorf("%s: %+v, %v", column, snap, err)
			continue
		}
		for state, want := range map[snapshot.State]bool{snapshot.StatePending: false, snapshot.StateRemoving: true} {
			_, err := s.UpdateSnapshot(t.Context(), snap.ID, func(snap *snapshot.Snapshot) error { snap.State = state; return nil })
			if want != (err == nil) || !want && !fault.Is(err, fault.KindConflict) {
				t.Errorf("%s becomes %s: %v", column, state, err)
			}
			if want {
				break
			}
		}
	}
	if snap, err := s.Snapshot(t.Context(), good.ID); err != nil || snap.Damaged || len(snap.RegionIDs) != 1 {
		t.Errorf("the good one is %+v, %v", snap, err)
	}
}

func TestWorkIsListedUntilItIsDone(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	snap := newSnapshot("org", "snap")
	if err := s.InsertSnapshot(t.Context(), snap, anySnapshots); err != nil {
		t.Fatal(err)
	}
	sb := newSandbox("org", "box", snap)
	if err := s.InsertSandbox(t.Context(), sb, anyUsage); err != nil {
		t.Fatal(err)
	}
	change := func(f func(*sandbox.Sandbox)) {
		t.Helper()
		if _, err := s.UpdateSandbox(t.Context(), sb.ID, func(sb *sandbox.Sandbox) error { f(sb); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	are := func(when string, unsettled, started, unapplied int, network, size bool) {
		t.Helper()
		for what, c := range map[string]struct {
			list []sandbox.Work
			want int
		}{
			"unsettled": {must(t)(s.UnsettledSandboxes(t.Context())), unsettled}, "started": {must(t)(s.StartedSandboxes(t.Context())), started},
			"unapplied": {must(t)(s.UnappliedSandboxes(t.Context())), unapplied},
		} {
			if len(c.list) != c.want || c.want == 1 && c.list[0] != (sandbox.Work{ID: sb.ID, OrganizationID: "org", Network: network, Size: size}) {
				t.Errorf("%s, %s: %+v", when, what, c.list)
			}
		}
	}
	are("created", 1, 0, 0, false, false)
	change(func(sb *sandbox.Sandbox) { sb.State = sandbox.StateStarted })
	are("started", 0, 1, 0, false, false)
	change(func(sb *sandbox.Sandbox) { sb.NetworkGeneration.Wanted++ })
	are("with another network", 0, 1, 1, true, false)
	change(func(sb *sandbox.Sandbox) { sb.NetworkGeneration.Applied++; sb.SizeGeneration.Wanted++ })
	are("with another size", 0, 1, 1, false, true)
	change(func(sb *sandbox.Sandbox) { sb.SizeGeneration.Applied++; sb.State = sandbox.StateStopped })
	are("stopped", 0, 0, 0, false, false)
}

func must(t *testing.T) func([]sandbox.Work, error) []sandbox.Work {
	return func(work []sandbox.Work, err error) []sandbox.Work {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return work
	}
}
