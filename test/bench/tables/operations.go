package main

import (
	"context"
	"fmt"
	"time"

	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// operationNames are all operations, in the order of the table.
var operationNames []string

// prepare fills in the operations. The rows that they look for are from the middle.
func (f *filled) prepare() {
	f.operations = map[string]func(context.Context) (time.Duration, error){}
	operationNames = nil
	add := func(name string, do func(context.Context) error) {
		operationNames = append(operationNames, name)
		f.operations[name] = func(ctx context.Context) (time.Duration, error) {
			begun := time.Now()
			err := do(ctx)
			return time.Since(begun), err
		}
	}
	// addWith measures one part, after what must be there and before what must go.
	addWith := func(name string, before, do, after func(context.Context) error) {
		operationNames = append(operationNames, name)
		f.operations[name] = func(ctx context.Context) (took time.Duration, err error) {
			if err := before(ctx); err != nil {
				return 0, err
			}
			begun := time.Now()
			if err := do(ctx); err != nil {
				return 0, err
			}
			took = time.Since(begun)
			return took, after(ctx)
		}
	}
	nothing := func(context.Context) error { return nil }
	middle := fmt.Sprintf("box-%06d", f.size.sandboxes/2)
	var id, cursor string
	nameToID := func(ctx context.Context) error {
		sb, err := f.db.FindSandbox(ctx, f.organization, middle)
		if err == nil {
			id = sb.ID
		}
		return err
	}

	var sb *sandbox.Sandbox
	newBox := func(context.Context) error { f.n++; sb = f.newSandbox(fmt.Sprintf("new-%d", f.n)); return nil }
	insert := func(ctx context.Context) error { return f.db.InsertSandbox(ctx, sb, anyUsage) }
	remove := func(ctx context.Context) error { return f.db.DeleteSandbox(ctx, sb.ID) }
	addWith("create a sandbox: the row", newBox, insert, remove)
	addWith("its next state", func(ctx context.Context) error { _ = newBox(ctx); return insert(ctx) }, func(ctx context.Context) error {
		_, err := f.db.UpdateSandbox(ctx, sb.ID, func(sb *sandbox.Sandbox) error { sb.State = sandbox.StateStarted; return nil })
		return err
	}, remove)
	addWith("delete a sandbox", func(ctx context.Context) error { _ = newBox(ctx); return insert(ctx) }, remove, nothing)
	addWith("claim one that waits in a pool", nothing, func(ctx context.Context) error {
		want := f.newSandbox("")
		want.Resources.CPU = 2
		var err error
		sb, err = f.db.ClaimSandbox(ctx, want, func(sb *sandbox.Sandbox) error { sb.WarmPoolID = ""; return nil })
		if err == nil && sb == nil {
			err = fmt.Errorf("none waits")
		}
		return err
	}, func(ctx context.Context) error {
		_, err := f.db.UpdateSandbox(ctx, sb.ID, func(sb *sandbox.Sandbox) error { sb.WarmPoolID = "pool"; return nil })
		return err
	})
	addWith("claim where none waits", nothing, func(ctx context.Context) error {
		_, err := f.db.ClaimSandbox(ctx, f.newSandbox(""), func(*sandbox.Sandbox) error { return nil })
		return err
	}, nothing)
	addWith("get a sandbox by id", nameToID, func(ctx context.Context) error { _, err := f.db.FindSandbox(ctx, f.organization, id); return err }, nothing)
	add("get a sandbox by name", func(ctx context.Context) error {
		_, err := f.db.FindSandbox(ctx, f.organization, middle)
		return err
	})
	list := func(what string, filter sandbox.Filter) {
		filter.OrganizationID, filter.Limit = f.organization, 10
		add("list "+what, func(ctx context.Context) error {
			page, _, err := f.db.ListSandboxes(ctx, filter)
			if err == nil && len(page) != filter.Limit {
				err = fmt.Errorf("%d are listed", len(page))
			}
			return err
		})
	}
	list("sandboxes, 10 of them", sandbox.Filter{Descending: true})
	addWith("the page after the middle", func(ctx context.Context) error {
		if cursor != "" {
			return nil
		}
		_, next, err := f.db.ListSandboxes(ctx, sandbox.Filter{OrganizationID: f.organization, Sort: sandbox.SortName, NamePrefix: middle[:len(middle)-1], Limit: 1})
		cursor = next
		return err
	}, func(ctx context.Context) error {
		_, _, err := f.db.ListSandboxes(ctx, sandbox.Filter{OrganizationID: f.organization, Sort: sandbox.SortName, Cursor: cursor, Limit: 10})
		return err
	}, nothing)
	list("by name", sandbox.Filter{Sort: sandbox.SortName})
	list("by last activity", sandbox.Filter{Sort: sandbox.SortLastActivity, Descending: true})
	list("by memory", sandbox.Filter{Sort: sandbox.SortMemory})
	list("those of a state", sandbox.Filter{States: []sandbox.State{sandbox.StateError}})
	list("those of two states", sandbox.Filter{States: []sandbox.State{sandbox.StateError, sandbox.StateStopped}, Descending: true})
	list("those with a common label", sandbox.Filter{Labels: map[string]string{"team": "3"}})
	list("those with a rare label", sandbox.Filter{Labels: map[string]string{"job": "1"}})
	list("those with a rare label, by name", sandbox.Filter{Labels: map[string]string{"job": "1"}, Sort: sandbox.SortName})
	list("those with a prefix", sandbox.Filter{NamePrefix: "box-00002"})
	list("those of a snapshot", sandbox.Filter{Snapshots: []string{"snap-3"}})
	page := func(what string, filter sandbox.Filter, n int) {
		filter.OrganizationID, filter.Limit = f.organization, 10
		add(what, func(ctx context.Context) error { _, _, err := f.db.PageSandboxes(ctx, filter, n); return err })
	}
	page("page 1 by number, with the total", sandbox.Filter{}, 1)
	page("the last page by number", sandbox.Filter{}, f.size.sandboxes/10)
	page("the middle page by number", sandbox.Filter{}, f.size.sandboxes/20)
	add("usage of an organization", func(ctx context.Context) error { _, err := f.db.Usage(ctx, f.organization); return err })
	add("counts for metrics", func(ctx context.Context) error {
		if _, err := f.db.SandboxStates(ctx); err != nil {
			return err
		}
		_, err := f.db.SnapshotStates(ctx)
		return err
	})
	add("the clock of sandboxes, every 5 s", func(ctx context.Context) error { _, err := f.db.DueSandboxes(ctx, time.Now()); return err })
	add("the clock of snapshots, every minute", func(ctx context.Context) error {
		for _, transient := range []bool{true, false} {
			if _, err := f.db.UnusedSnapshots(ctx, time.Now().Add(-24*time.Hour), transient); err != nil {
				return err
			}
		}
		return nil
	})
	snap := fmt.Sprintf("snap-%06d", f.size.snapshots/2)
	add("get a snapshot by name", func(ctx context.Context) error {
		_, err := f.db.FindSnapshot(ctx, f.organization, snap)
		return err
	})
	var made *snapshot.Snapshot
	addWith("create a snapshot: the row", func(context.Context) error { f.n++; made = f.newSnapshot(fmt.Sprintf("new-%d", f.n)); return nil },
		func(ctx context.Context) error { return f.db.InsertSnapshot(ctx, made, anyCount) },
		func(ctx context.Context) error { return f.db.DeleteSnapshot(ctx, made.ID) })
	snapshots := func(what string, filter snapshot.Filter) {
		filter.OrganizationID, filter.Limit = f.organization, 10
		add(what, func(ctx context.Context) error { _, _, err := f.db.ListSnapshots(ctx, filter); return err })
	}
	snapshots("list snapshots", snapshot.Filter{Page: 1})
	snapshots("list snapshots by name", snapshot.Filter{Page: 1, Sort: "name"})
	snapshots("the middle page of snapshots", snapshot.Filter{Page: f.size.snapshots / 20})
	snapshots("list snapshots whose name has a text", snapshot.Filter{Page: 1, Name: "0001"})

	f.web.prepare(f, add, addWith, middle, snap)
}
