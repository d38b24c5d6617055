package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// fill gives an organization many snapshots and sandboxes: of three states, one in a
// hundred with a label, one in fifty with a common one, a few due, ten waiting in a
// pool. It returns those that it made last.
func fill(t testing.TB, s *Store, organization string, sandboxes, snaps int) (*sandbox.Sandbox, *snapshot.Snapshot) {
	t.Helper()
	const batch = 500
	begun := time.Now().Add(-time.Hour).UTC()
	var snap *snapshot.Snapshot
	var sb *sandbox.Sandbox
	err := s.inTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
		var rows []*snapshotRow
		for i := range snaps {
			snap = newSnapshot(organization, fmt.Sprintf("snap-%06d", i))
			snap.CreatedAt = begun.Add(time.Duration(i) * time.Millisecond)
			if i%7 == 3 {
				snap.State = snapshot.StateInactive
			}
			rows = append(rows, s.rowOfSnapshot(snap, nil))
			if len(rows) == batch || i == snaps-1 {
				if _, err := tx.NewInsert().Model(&rows).Exec(ctx); err != nil {
					return err
				}
				rows = nil
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	snap.State = snapshot.StateActive
	if _, err := s.UpdateSnapshot(t.Context(), snap.ID, func(x *snapshot.Snapshot) error { x.State = snap.State; return nil }); err != nil {
		t.Fatal(err)
	}
	states := []sandbox.State{sandbox.StateStarted, sandbox.StateStopped, sandbox.StateStarted, sandbox.StateStopped, sandbox.StateStarted, sandbox.StateStopped, sandbox.StateStarted, sandbox.StateStopped, sandbox.StateStarted, sandbox.StateError}
	err = s.inTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
		var rows []*sandboxRow
		for i := range sandboxes {
			sb = newSandbox(organization, fmt.Sprintf("box-%06d", i), snap)
			sb.State, sb.CreatedAt, sb.LastActivityAt, sb.Labels = states[i%len(states)], begun.Add(time.Duration(i)*time.Millisecond), begun, map[string]string{"team": fmt.Sprint(i % 40), "all": "yes"}
			sb.AutoStop = 24 * time.Hour
			if i%100 == 7 {
				sb.Labels["rare"] = fmt.Sprint(i / 2000)
			}
			if i%200 == 8 {
				sb.Labels["common"] = "yes"
			}
			if i < 10 {
				sb.WarmPoolID, sb.State = "pool", sandbox.StateStarted
			}
			rows = append(rows, s.rowOfSandbox(sb, nil))
			if len(rows) == batch || i == sandboxes-1 {
				if _, err := tx.NewInsert().Model(&rows).Exec(ctx); err != nil {
					return err
				}
				rows = nil
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var gone []*departedRow
	for i := range 1500 {
		gone = append(gone, &departedRow{ID: uuid.NewString(), OrganizationID: organization, ParentID: fmt.Sprint(i % 100), RootID: fmt.Sprint(i % 100), Sandbox: "{}"})
	}
	if _, err := s.write.NewInsert().Model(&gone).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Analyze(t.Context()); err != nil {
		t.Fatal(err)
	}
	return sb, snap
}
