package store

import (
	"bytes"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/uptrace/bun/migrate"

	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/secretbox"
	"github.com/opendaytona/daytona/internal/store/migrations"
)

// lastOfEarlier is the last migration of the version before this one.
const lastOfEarlier = "0020"

// earlierDatabase is one as the version before this one left it, with rows.
func earlierDatabase(t *testing.T, path string) string {
	t.Helper()
	database, s := path, &Store{dialect: sqliteDialect{}}
	var err error
	if pg == nil {
		s.write, err = connectSQLite(path, 1)
	} else {
		if database, err = pg.Create(t.Context(), "earlier"+filepath.Base(filepath.Dir(path)), "template0"); err == nil {
			s.dialect = postgresDialect{}
			config, parseErr := parsePostgres(database)
			if parseErr != nil {
				t.Fatal(parseErr)
			}
			s.write, err = connectPostgres(t.Context(), config, 1)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	all, err := migrations.All(s.dialect.name())
	if err != nil {
		t.Fatal(err)
	}
	earlier := migrate.NewMigrations()
	for _, m := range all.Sorted() {
		if m.Name <= lastOfEarlier {
			earlier.Add(m)
		}
	}
	m := migrate.NewMigrator(s.write, earlier, migrate.WithMarkAppliedOnSuccess(true))
	if err := m.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO users VALUES ('u', 'U', 'u@localhost', TRUE, '2026-01-01 00:00:00+00:00')`,
		`INSERT INTO organizations (id, name, created_by, personal, default_region, quota, deactivate_minutes, created_at, updated_at) VALUES ('o', 'O', 'u', TRUE, 'us', '{"MaxCPU":1}', 7, '2026-01-01 00:00:00+00:00', '2026-01-01 00:00:00+00:00')`,
		`INSERT INTO members VALUES ('o', 'u', 'owner')`,
		`INSERT INTO api_keys VALUES ('h', 'o', 'u', 'k', 'dtn_', '["write:sandboxes"]', '2026-01-01 00:00:00+00:00', NULL, NULL)`,
		`INSERT INTO snapshots (id, organization_id, general, name, image_name, state, error_reason, region_ids, cpu, memory, disk, entrypoint, image_digest, size, user_name, created_at, updated_at, last_used_at, build, build_ref, revision)
		 VALUES ('snap', 'o', FALSE, 'built', '', 'active', '', '["us"]', 1, 1, 1, '["sleep"]', 'sha256:x', 1, '', '2026-01-01 00:00:00+00:00', '2026-01-01 00:00:00+00:00', '2026-01-02 00:00:00+00:00', '{"dockerfile":"FROM x\nENV T=hunter2","contexts":["c"],"ref":"build-1"}', 'build-1', 'r')`,
		`INSERT INTO sandboxes (id, organization_id, name, snapshot_id, snapshot, image_digest, region, state, desired, error_reason, recoverable, user_name, entrypoint, env, labels, public, cpu, memory, disk, network, auto_stop, auto_archive, auto_delete, created_at, updated_at, last_activity_at)
		 VALUES ('11111111-1111-1111-1111-111111111111', 'o', 'box', 'snap', 'built', 'sha256:x', 'us', 'started', 'started', '', FALSE, '', '["sleep"]', '{"TOKEN":"hunter2"}', '{"team":"blue"}', FALSE, 1, 2, 3, '{}', 60000000000, 0, -60000000000, '2026-01-01 00:00:00+00:00', '2026-01-01 00:00:00+00:00', '2026-01-03 00:00:00+00:00')`,
		`INSERT INTO sandboxes (id, organization_id, name, snapshot_id, snapshot, image_digest, region, state, desired, error_reason, recoverable, user_name, entrypoint, env, labels, public, cpu, memory, disk, network, auto_stop, auto_archive, auto_delete, created_at, updated_at, last_activity_at)
		 VALUES ('22222222-2222-2222-2222-222222222222', 'o', 'bare', 'snap', 'built', 'sha256:x', 'us', 'stopped', 'stopped', '', FALSE, '', '["sleep"]', '{}', '{}', FALSE, 1, 2, 3, '{}', 0, 0, -60000000000, '2026-01-01 00:00:00+00:00', '2026-01-01 00:00:00+00:00', '2026-01-03 00:00:00+00:00')`,
	} {
		if _, err := s.write.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%v: %s", err, statement)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return database
}

func TestADatabaseOfTheVersionBeforeOpens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	database := earlierDatabase(t, path)
	salt := ""
	for range 2 { // the second has nothing to do
		s, err := Open(t.Context(), database, testKey, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		sb, err := s.FindSandbox(t.Context(), "o", "box")
		if err != nil || !maps.Equal(sb.Env, map[string]string{"TOKEN": "hunter2"}) || sb.EnvLost || sb.Labels["team"] != "blue" {
			t.Errorf("the sandbox is %+v, %v", sb, err)
		}
		if sb.SigningSalt != salt {
			t.Errorf("the salt is %q, want %q", sb.SigningSalt, salt)
		}
		salt = "of a rotation"
		if _, err := s.UpdateSandbox(t.Context(), sb.ID, func(sb *sandbox.Sandbox) error { sb.SigningSalt = salt; return nil }); err != nil {
			t.Error(err)
		}
		snap, err := s.FindSnapshot(t.Context(), "o", "built")
		if err != nil || snap.Build == nil || snap.Build.Dockerfile != "FROM x\nENV T=hunter2" || snap.Build.Ref != "build-1" {
			t.Errorf("the snapshot is %+v, %v", snap, err)
		}
		if u, err := s.Usage(t.Context(), "o"); err != nil || u != (sandbox.Usage{CPU: 1, Memory: 2, Disk: 6, Sandboxes: 2}) {
			t.Errorf("usage is %+v, %v", u, err)
		}
		page, _, err := s.ListSandboxes(t.Context(), sandbox.Filter{OrganizationID: "o", Labels: map[string]string{"team": "blue"}, Limit: 10})
		if err != nil || len(page) != 1 {
			t.Errorf("%d have the label, %v", len(page), err)
		}
		last := time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)
		if due, err := s.DueSandboxes(t.Context(), last.Add(59*time.Second)); err != nil || len(due) != 0 {
			t.Errorf("%d are due too early, %v", len(due), err)
		}
		if due, err := s.DueSandboxes(t.Context(), last.Add(time.Minute)); err != nil || len(due) != 1 || due[0].Name != "box" {
			t.Errorf("due are %v, %v", due, err)
		}
		if n, err := s.UnusedSnapshots(t.Context(), last, false); err != nil || len(n) != 1 {
			t.Errorf("unused are %v, %v", n, err)
		}
		if _, admin, err := s.KeyByHash(t.Context(), "h"); err != nil || !admin {
			t.Errorf("the key: %v", err)
		}
		countsAreRight(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if pg != nil {
		return
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err != nil || bytes.Contains(b, []byte("hunter2")) {
			t.Errorf("%s shows a secret (%v)", f, err)
		}
	}
}

func TestSecretsAreSealedInEveryTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path)
	snap := newSnapshot("org", "snap")
	snap.Build = buildOf("FROM x\nARG T=hunter2")
	if err := s.InsertSnapshot(t.Context(), snap, anySnapshots); err != nil {
		t.Fatal(err)
	}
	root := newSandbox("org", "root", snap)
	root.Env = map[string]string{"TOKEN": "hunter2"}
	fork := newSandbox("org", "fork", snap)
	fork.ParentID, fork.RootID, fork.Env = root.ID, root.ID, root.Env
	if err := s.InsertSandbox(t.Context(), root, anyUsage); err != nil {
		t.Fatal(err)
	}
	if err := s.InsertFork(t.Context(), fork, anyUsage); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteSandbox(t.Context(), root.ID); err != nil { // is remembered for its fork
		t.Fatal(err)
	}
	var before, after string
	read := func(into *string) {
		t.Helper()
		if err := s.read.NewSelect().Table("sandboxes").Column("env").Where("id = ?", fork.ID).Scan(t.Context(), into); err != nil {
			t.Fatal(err)
		}
	}
	read(&before)
	if _, err := s.UpdateSandbox(t.Context(), fork.ID, func(sb *sandbox.Sandbox) error { sb.Public = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if read(&after); before != after {
		t.Error("a change of something else has sealed the variables again")
	}
	if _, err := s.UpdateSandbox(t.Context(), fork.ID, func(sb *sandbox.Sandbox) error { sb.Env = map[string]string{"TOKEN": "hunter3"}; return nil }); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Sandbox(t.Context(), fork.ID); err != nil || got.Env["TOKEN"] != "hunter3" {
		t.Errorf("changed: %+v, %v", got, err)
	}
	for _, table := range []string{"sandboxes", "snapshots", "departed_sandboxes"} {
		var rows []map[string]any
		if err := s.read.NewSelect().Table(table).Scan(t.Context(), &rows); err != nil || len(rows) == 0 {
			t.Fatal(table, err)
		}
		for _, r := range rows {
			for column, value := range r {
				if b, ok := value.([]byte); ok {
					value = string(b)
				}
				if text, ok := value.(string); ok && bytes.Contains([]byte(text), []byte("hunter")) {
					t.Errorf("%s.%s shows a secret: %s", table, column, text)
				}
			}
		}
	}
	// Another key opens none of it, and costs none of it.
	s.secrets = secretbox.NewKey()
	got, err := s.UpdateSandbox(t.Context(), fork.ID, func(sb *sandbox.Sandbox) error { sb.Public = false; return nil })
	if err != nil || !got.EnvLost || len(got.Env) != 0 {
		t.Errorf("with another key: %+v, %v", got, err)
	}
	if got, err := s.Snapshot(t.Context(), snap.ID); err != nil || got.Build == nil || got.Build.Dockerfile != "" || got.Build.Ref != "ref" {
		t.Errorf("with another key: %+v, %v", got, err)
	}
	s.secrets = testKey
	if got, err := s.Sandbox(t.Context(), fork.ID); err != nil || got.Env["TOKEN"] != "hunter3" || got.EnvLost {
		t.Errorf("with the key again: %+v, %v", got, err)
	}
}
