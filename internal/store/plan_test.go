package store

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// statements remembers what the database is asked and told.
type statements struct {
	mu  sync.Mutex
	all []string
}

func (q *statements) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (q *statements) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch strings.Fields(e.Query)[0] {
	case "SELECT", "UPDATE", "DELETE":
		q.all = append(q.all, e.Query)
	}
}

func (q *statements) take() (all []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	all, q.all = q.all, nil
	return all
}

// explain tells how the database would go about a statement, a step a line.
func explain(t *testing.T, s *Store, statement string) (steps []string) {
	t.Helper()
	how, columns := "EXPLAIN QUERY PLAN ", 4
	if s.dialect.name() != "sqlite" {
		how, columns = "EXPLAIN ", 1
	}
	tx, err := s.write.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	if columns == 1 {
		// Tables of a test are so small that to read one is quicker than some indexes.
		// What has none is still read.
		if _, err := tx.ExecContext(t.Context(), "SET LOCAL enable_seqscan = off"); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := tx.QueryContext(t.Context(), how+statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer rows.Close() //nolint:errcheck // it was read to its end
	for rows.Next() {
		var step string
		var unused any
		into := []any{&unused, &unused, &unused, &step}
		if err := rows.Scan(into[4-columns:]...); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, strings.TrimSpace(step))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}

// readsAll matches the step that reads a whole table which grows, by itself or by an
// index without a condition.
var readsAll = regexp.MustCompile(`^SCAN (s|l|sandboxes|snapshots|sandbox_labels|departed_row|preview_row)( USING .*)?$|Seq Scan on (sandboxes|snapshots|sandbox_labels|departed_sandboxes|preview_urls)\b`)

// wholeIndex matches the step of PostgreSQL that reads an index; which is all of it
// unless the next step is a condition.
var wholeIndex = regexp.MustCompile(`Index (Only )?Scan (using|on) (sandboxes|snapshots|sandbox_labels|departed|preview_urls)_`)

// smallIndex matches the use of an index that has few rows of its table, however
// many that has: what waits in pools, and what there is to do.
var smallIndex = regexp.MustCompile(`\bsandboxes_(warm|unsettled|unapplied)\b`)

// whole are the steps that read a whole table.
func whole(steps []string) (found []string) {
	few := 0 // rows that were selected before, which SQLite calls s too
	for i, step := range steps {
		switch {
		case step == "CO-ROUTINE s":
			few++
		case step == "SCAN s" && few > 0:
			few--
		case smallIndex.MatchString(step):
		case readsAll.MatchString(step), wholeIndex.MatchString(step) && (i+1 == len(steps) || !strings.HasPrefix(steps[i+1], "Index Cond")):
			found = append(found, step)
		}
	}
	return found
}

func TestNoHotStatementReadsAWholeTable(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	sb, snap := fill(t, s, "org", 4000, 2000)
	fill(t, s, "other", 1000, 500)
	ctx, now, name := t.Context(), time.Now(), sb.Name
	seen := &statements{}
	s.read, s.write = s.read.WithQueryHook(seen), s.write.WithQueryHook(seen)
	list := func(f sandbox.Filter) func() error {
		return func() error {
			f.OrganizationID, f.Limit = "org", 50
			_, next, err := s.ListSandboxes(ctx, f)
			if err != nil || next == "" {
				return err
			}
			f.Cursor = next
			_, _, err = s.ListSandboxes(ctx, f)
			return err
		}
	}
	page := func(f sandbox.Filter, n int) func() error {
		return func() error {
			f.OrganizationID, f.Limit = "org", 50
			_, _, err := s.PageSandboxes(ctx, f, n)
			return err
		}
	}
	snapshots := func(f snapshot.Filter) func() error {
		return func() error { f.OrganizationID, f.Limit = "org", 50; _, _, err := s.ListSnapshots(ctx, f); return err }
	}
	fresh := newSandbox("org", "fresh", snap)
	fork := newSandbox("org", "fork", snap)
	fork.ParentID, fork.RootID = fresh.ID, fresh.ID
	for _, c := range []struct {
		what string
		do   func() error
	}{
		{"create", func() error { return s.InsertSandbox(ctx, fresh, anyUsage) }},
		{"fork", func() error { return s.InsertFork(ctx, fork, anyUsage) }},
		{"sandbox", func() error { return second(s.Sandbox(ctx, sb.ID)) }},
		{"find by id", func() error { return second(s.FindSandbox(ctx, "org", sb.ID)) }},
		{"find by name", func() error { return second(s.FindSandbox(ctx, "org", name)) }},
		{"change", func() error {
			return second(s.UpdateSandbox(ctx, sb.ID, func(x *sandbox.Sandbox) error { x.Public = !x.Public; return nil }))
		}},
		{"resize", func() error {
			return second(s.ResizeSandbox(ctx, sb.ID, func(x *sandbox.Sandbox, _ sandbox.Usage) error { x.Resources.CPU++; return nil }))
		}},
		{"touch", func() error { return s.TouchSandboxes(ctx, map[string]time.Time{sb.ID: now}) }},
		{"due", func() error { return second(s.DueSandboxes(ctx, now)) }},
		{"what there is to do", func() error {
			return errors.Join(second(s.UnsettledSandboxes(ctx)), second(s.UnappliedSandboxes(ctx)))
		}},
		{"usage", func() error { return second(s.Usage(ctx, "org")) }},
		{"states", func() error { return errors.Join(second(s.SandboxStates(ctx)), second(s.SnapshotStates(ctx))) }},
		{"claim", func() error {
			want := newSandbox("org", "want", snap)
			return second(s.ClaimSandbox(ctx, want, func(x *sandbox.Sandbox) error { x.WarmPoolID = ""; return nil }))
		}},
		{"what waits in a pool", func() error { return second(s.WarmSandboxes(ctx, "pool")) }},
		{"what is ready in pools", func() error { return second(s.ReadyInPools(ctx, "org")) }},
		{"forks", func() error { return second(s.Forks(ctx, "org", fresh.ID, true)) }},
		{"kin", func() error { return second(s.Kin(ctx, "org", fresh.ID)) }},
		{"delete", func() error { return errors.Join(s.DeleteSandbox(ctx, fresh.ID), s.DeleteSandbox(ctx, fork.ID)) }},
		{"of a snapshot", func() error { return second(s.SandboxesOfSnapshot(ctx, snap.ID, sandbox.StatePulling)) }},
		{"of an image", func() error { return second(s.ImageInUse(ctx, "sha256:other")) }},
		{"list", list(sandbox.Filter{})},
		{"list descending", list(sandbox.Filter{Descending: true})},
		{"list by name", list(sandbox.Filter{Sort: sandbox.SortName})},
		{"list by cpu", list(sandbox.Filter{Sort: sandbox.SortCPU})},
		{"list by memory", list(sandbox.Filter{Sort: sandbox.SortMemory})},
		{"list by disk", list(sandbox.Filter{Sort: sandbox.SortDisk})},
		{"list by activity", list(sandbox.Filter{Sort: sandbox.SortLastActivity, Descending: true})},
		{"list with what waits", list(sandbox.Filter{Warm: true})},
		{"list of a state", list(sandbox.Filter{States: []sandbox.State{sandbox.StateError}})},
		{"list of states", list(sandbox.Filter{States: []sandbox.State{sandbox.StateError, sandbox.StateStarting}})},
		{"list of a rare label", list(sandbox.Filter{Labels: map[string]string{"rare": "1"}})},
		{"list of a common label", list(sandbox.Filter{Labels: map[string]string{"common": "yes"}})},
		{"list of a label that all have", list(sandbox.Filter{Labels: map[string]string{"all": "yes"}})},
		{"list of a label that all have, by name", list(sandbox.Filter{Labels: map[string]string{"all": "yes"}, Sort: sandbox.SortName})},
		{"list of labels that many have", list(sandbox.Filter{Labels: map[string]string{"all": "yes", "team": "3"}})},
		{"list of two labels", list(sandbox.Filter{Labels: map[string]string{"common": "yes", "rare": "1"}})},
		{"list of a label by name", list(sandbox.Filter{Labels: map[string]string{"rare": "1"}, Sort: sandbox.SortName})},
		{"list of a name", list(sandbox.Filter{NamePrefix: "Box-0012"})},
		{"list of an id", list(sandbox.Filter{IDPrefix: sb.ID[:6]})},
		{"list of a snapshot", list(sandbox.Filter{Snapshots: []string{snap.Name}})},
		{"list of a snapshot's id", list(sandbox.Filter{Snapshots: []string{snap.ID}})},
		{"a page", page(sandbox.Filter{}, 1)},
		{"the last page", page(sandbox.Filter{}, 79)},
		{"a page of a state", page(sandbox.Filter{States: []sandbox.State{sandbox.StateError}}, 2)},
		{"find a snapshot by id", func() error { return second(s.FindSnapshot(ctx, "org", snap.ID)) }},
		{"find a snapshot by name", func() error { return second(s.FindSnapshot(ctx, "org", snap.Name)) }},
		{"find a snapshot that is not there", func() error { _, _ = s.FindSnapshot(ctx, "org", "nobody's"); return nil }},
		{"find the default snapshot", func() error { return second(s.FindDefault(ctx, "org", snap.Name)) }},
		{"find the snapshots of pools", func() error { return second(s.NamedSnapshots(ctx, "org", []string{snap.Name, "snap-000001"})) }},
		{"snapshot count", func() error { return second(s.SnapshotCount(ctx, "org")) }},
		{"create a snapshot", func() error { return s.InsertSnapshot(ctx, newSnapshot("org", "fresh"), anySnapshots) }},
		{"change a snapshot", func() error {
			return second(s.UpdateSnapshot(ctx, snap.ID, func(x *snapshot.Snapshot) error { x.Size++; return nil }))
		}},
		{"replace a snapshot", func() error {
			return second(s.UpdateReplacement(ctx, snap.ID, func(now, _ *snapshot.Snapshot) (*snapshot.Snapshot, error) {
				next := *now
				next.ID, next.Replaces, next.Next = uuid.NewString(), now.ID, nil
				return &next, nil
			}))
		}},
		{"use a snapshot", func() error { return s.TouchSnapshot(ctx, snap.ID, now) }},
		{"unused snapshots", func() error {
			return errors.Join(second(s.UnusedSnapshots(ctx, now.Add(-24*time.Hour), false)), second(s.UnusedSnapshots(ctx, now.Add(-24*time.Hour), true)))
		}},
		{"find what was built", func() error {
			_, _ = s.BuiltSnapshot(ctx, "ref", false)
			_, _ = s.BuiltSnapshot(ctx, "ref", true)
			return nil
		}},
		{"list snapshots", snapshots(snapshot.Filter{Page: 1})},
		{"list snapshots, a later page", snapshots(snapshot.Filter{Page: 20})},
		{"list snapshots by name", snapshots(snapshot.Filter{Page: 1, Sort: "name"})},
		{"list snapshots by state", snapshots(snapshot.Filter{Page: 1, Sort: "state"})},
		{"list snapshots by use", snapshots(snapshot.Filter{Page: 1, Sort: "lastUsedAt", Descending: true})},
		{"list snapshots by creation", snapshots(snapshot.Filter{Page: 1, Sort: "createdAt"})},
		{"list snapshots of a sandbox", snapshots(snapshot.Filter{Page: 1, SourceSandbox: sb.ID})},
		{"key", func() error { _, _, _ = s.KeyByHash(ctx, "hash"); return nil }},
	} {
		seen.take()
		if err := c.do(); err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		all := seen.take()
		if len(all) == 0 {
			t.Errorf("%s: no statement was seen", c.what)
		}
		for _, statement := range all {
			steps := explain(t, s, statement)
			seen.take()
			for _, step := range whole(steps) {
				t.Errorf("%s reads all: %s\n%s\n%s", c.what, step, statement, strings.Join(steps, "\n"))
			}
		}
	}
}

func TestAPlanThatReadsAWholeTableIsSeen(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	fill(t, s, "org", 2000, 1000)
	for _, statement := range []string{
		"SELECT * FROM sandboxes AS s WHERE user_name = 'x'", "SELECT COUNT(*) FROM sandboxes", "SELECT * FROM snapshots AS s ORDER BY image_name",
		"UPDATE sandboxes SET public = TRUE WHERE region = 'x'", "SELECT * FROM sandbox_labels ORDER BY value",
	} {
		if steps := explain(t, s, statement); len(whole(steps)) == 0 {
			t.Errorf("%s is not told from others: %q", statement, steps)
		}
	}
}

func second[T any](_ T, err error) error { return err }
