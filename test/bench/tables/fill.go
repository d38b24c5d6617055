package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // one of the two drivers
	"k8s.io/utils/clock"

	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/quota"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/secretbox"
	"github.com/opendaytona/daytona/internal/snapshot"
	"github.com/opendaytona/daytona/internal/store"
)

// filled is a store with rows, and what is measured on it.
type filled struct {
	db           *store.Store
	size         size
	organization string
	key          string // of the API
	accounts     *account.Service
	template     *sandbox.Sandbox
	snap         *snapshot.Snapshot
	web          *web
	operations   map[string]func(context.Context) (time.Duration, error)
	n            int // of what was made so far
}

// plenty is a quota that nothing meets.
const plenty = 1 << 30

// warm is how many sandboxes wait in the pool.
const warm = 20

func fill(ctx context.Context, database string, s size) (*filled, error) {
	f := &filled{size: s}
	if err := f.fill(ctx, database); err != nil {
		if f.db != nil {
			err = errors.Join(err, f.close())
		}
		return nil, err
	}
	return f, nil
}

func (f *filled) fill(ctx context.Context, database string) (err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	key := secretbox.NewKey()
	if f.db, err = store.Open(ctx, database, key, log); err != nil {
		return err
	}
	f.accounts = account.NewService(account.Config{
		Store: f.db, Clock: clock.RealClock{}, DefaultRegion: "us", DeactivateAfter: 14 * 24 * time.Hour,
		Quota: quota.Limits{MaxCPU: plenty, MaxMemory: plenty, MaxDisk: plenty, TotalCPU: plenty, TotalMemory: plenty, TotalDisk: plenty, Snapshots: plenty},
	})
	if f.key, err = f.accounts.Bootstrap(ctx, ""); err != nil {
		return err
	}
	who, err := f.accounts.Authenticate(ctx, f.key, "")
	if err != nil {
		return err
	}
	f.organization = who.OrganizationID
	f.snap = f.newSnapshot("template")
	if err := f.db.InsertSnapshot(ctx, f.snap, anyCount); err != nil {
		return err
	}
	f.template = f.newSandbox("template")
	if err := f.db.InsertSandbox(ctx, f.template, anyUsage); err != nil {
		return err
	}
	if err := f.multiply(ctx, database); err != nil {
		return err
	}
	if f.web, err = f.serve(ctx, key, log); err != nil {
		return err
	}
	if err := f.db.Analyze(ctx); err != nil {
		return err
	}
	// They are not the engine's, which knows of what was there before it.
	for i := range warm {
		sb := f.newSandbox(fmt.Sprintf("warm-%d", i))
		sb.WarmPoolID, sb.State = "pool", sandbox.StateStarted
		sb.Resources.CPU = 2 // no create of another measurement claims it
		spec := engine.Spec{ID: sb.ID}
		if err := errors.Join(f.web.engine.Create(ctx, spec), f.web.engine.Start(ctx, spec), f.db.InsertSandbox(ctx, sb, anyUsage)); err != nil {
			return err
		}
	}
	f.prepare()
	return nil
}

func (f *filled) close() (err error) {
	if f.web != nil {
		err = f.web.close()
	}
	return errors.Join(err, f.db.Close())
}

func anyUsage(sandbox.Usage) error { return nil }

func anyCount(int) error { return nil }

func (f *filled) newSnapshot(name string) *snapshot.Snapshot {
	now := time.Now()
	return &snapshot.Snapshot{
		ID: uuid.NewString(), OrganizationID: f.organization, Name: name, CreatedAt: now, UpdatedAt: now,
		Content: snapshot.Content{
			Revision: uuid.NewString(), ImageName: "debian:12.9", State: snapshot.StateActive, ImageDigest: "sha256:x",
			RegionIDs: []string{"us"}, Resources: snapshot.DefaultResources, Entrypoint: []string{"sleep", "infinity"},
		},
	}
}

func (f *filled) newSandbox(name string) *sandbox.Sandbox {
	now := time.Now()
	return &sandbox.Sandbox{
		ID: uuid.NewString(), OrganizationID: f.organization, Name: name, SnapshotID: f.snap.ID, Snapshot: f.snap.Name, ImageDigest: f.snap.ImageDigest,
		Region: "us", State: sandbox.StateStopped, Desired: sandbox.DesiredStarted, Resources: sandbox.Resources{CPU: 1, Memory: 1, Disk: 3},
		Entrypoint: []string{"sleep", "infinity"}, Env: map[string]string{"A": "1"}, Labels: map[string]string{},
		AutoStop: 24 * time.Hour, AutoDelete: sandbox.NeverDelete, CreatedAt: now, UpdatedAt: now, LastActivityAt: now,
	}
}

// batch is how many rows are made in one transaction: PostgreSQL keeps each version of
// a count until the transaction ends.
const batch = 1000

// multiply copies the templates in the database, each row with a name, an id and
// values of its own. The triggers count them as they do others.
func (f *filled) multiply(ctx context.Context, database string) (err error) {
	driver, source := "sqlite", "file:"+database+"?_pragma=busy_timeout(60000)&_txlock=immediate"
	id, text, when := "printf('%08x-0000-4000-8000-%012x', n * 2654435761 % 4294967296, n)", "printf('%06d', n)", "strftime('%Y-%m-%d %H:%M:%S+00:00', '2026-01-01', '+' || n || ' seconds')"
	numbers := "WITH RECURSIVE numbers(n) AS (SELECT %d UNION ALL SELECT n + 1 FROM numbers WHERE n < %d)"
	if strings.HasPrefix(database, "postgres://") {
		driver, source = "pgx", database
		id = "lpad(to_hex(n::bigint * 2654435761 % 4294967296), 8, '0') || '-0000-4000-8000-' || lpad(to_hex(n), 12, '0')"
		text, when = "lpad(n::text, 6, '0')", "TIMESTAMP '2026-01-01' + n * INTERVAL '1 second'"
		numbers = "WITH numbers AS (SELECT * FROM generate_series(%d, %d) AS n)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, t := range []struct {
		table    string
		count    int
		template string
		values   map[string]string
	}{
		{"snapshots", f.size.snapshots, f.snap.ID, map[string]string{"id": id, "revision": id, "name": "'snap-' || " + text, "created_at": when}},
		{"sandboxes", f.size.sandboxes, f.template.ID, map[string]string{
			"id": id, "name": "'box-' || " + text, "created_at": when, "env": "'{}'", "state": "CASE n % 2 WHEN 0 THEN 'error' ELSE 'stopped' END", "desired": "'stopped'",
			"snapshot": "'snap-' || (n % 5)", "memory": "1 + n % 4",
			// A team has a fifth of the sandboxes, a job some twenty.
			"labels": `'{"team":"' || (n % 5) || '","job":"' || (n / 20) || '"}'`,
		}},
	} {
		rows, err := db.QueryContext(ctx, "SELECT * FROM "+t.table+" LIMIT 0")
		if err != nil {
			return err
		}
		columns, err := rows.Columns()
		if err := errors.Join(err, rows.Close()); err != nil {
			return err
		}
		values := make([]string, len(columns))
		for i, c := range columns {
			if values[i] = t.values[c]; values[i] == "" {
				values[i] = "t." + c
			}
		}
		for first := 1; first <= t.count; first += batch {
			last := min(first+batch-1, t.count)
			do := fmt.Sprintf("INSERT INTO %s (%s) %s SELECT %s FROM numbers, %[1]s AS t WHERE t.id = '%[5]s'",
				t.table, strings.Join(columns, ", "), fmt.Sprintf(numbers, first, last), strings.Join(values, ", "), t.template)
			if _, err := db.ExecContext(ctx, do); err != nil {
				return fmt.Errorf("fill %s: %w", t.table, err)
			}
		}
	}
	return nil
}
