package store

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// queries remembers what the database is asked.
type queries struct {
	mu  sync.Mutex
	all []string
}

func (q *queries) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (q *queries) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if strings.HasPrefix(e.Query, "SELECT") {
		q.all = append(q.all, e.Query)
	}
}

func TestWhatEachRequestAsksReadsNoWholeTable(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	snap := newSnapshot("org", "snap")
	snap.State = snapshot.StateActive
	if err := s.InsertSnapshot(t.Context(), snap, anySnapshots); err != nil {
		t.Fatal(err)
	}
	asked := &queries{}
	s.read = s.read.WithQueryHook(asked)
	s.write = s.write.WithQueryHook(asked)
	sb := newSandbox("org", "box", snap)
	for what, err := range map[string]error{
		"create":        s.InsertSandbox(t.Context(), sb, anyUsage),
		"find":          second(s.FindSandbox(t.Context(), "org", "box")),
		"find snapshot": second(s.FindSnapshot(t.Context(), "org", "snap")),
		"claim":         second(s.ClaimSandbox(t.Context(), sb, func(*sandbox.Sandbox) error { return nil })),
		"pool":          second(s.WarmSandboxes(t.Context(), "pool")),
		"forks":         second(s.Forks(t.Context(), "org", sb.ID, true)),
		"delete":        s.DeleteSandbox(t.Context(), sb.ID),
	} {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	if len(asked.all) < 8 {
		t.Fatalf("%d queries were seen: %v", len(asked.all), asked.all)
	}
	used := ""
	for _, q := range asked.all {
		rows, err := s.read.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+q)
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			used += detail + "\n"
			if strings.HasPrefix(detail, "SCAN") && !strings.Contains(detail, "CONSTANT ROW") {
				t.Errorf("%s\nreads all: %s", q, detail)
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, index := range []string{"COVERING INDEX sandboxes_usage", "INDEX sandboxes_waiting", "INDEX snapshots_by_name"} {
		if !strings.Contains(used, index) {
			t.Errorf("%s is not used:\n%s", index, used)
		}
	}
}

func second[T any](_ T, err error) error { return err }
