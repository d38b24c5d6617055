// Package store keeps the rows of every noun in SQL, through bun: SQLite here,
// with models that PostgreSQL can take unchanged (text ids, timestamps, JSON as
// text). Each noun has its file, which implements the Store interface of the
// noun's package; migrations/ has the schema, one file a version. It imports
// the domain packages for their types, and nobody imports it but package server.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"runtime"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/migrate"
	sqlite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/opendaytona/daytona/internal/space"
	"github.com/opendaytona/daytona/internal/store/migrations"
)

// Store is an open database. Writes go through one connection, so that they
// never meet; reads have a pool beside it (SQLite's WAL lets them go on during
// a write).
type Store struct {
	write *bun.DB
	read  *bun.DB

	// MayGrow is asked before a sandbox or snapshot gets a row; nil is always.
	MayGrow func() error
	onFull  func() bool
}

// OnFull lets drop make room when the database has none; a transaction that
// failed for it is tried once more when drop could. It must be called before any
// other method.
func (s *Store) OnFull(drop func() bool) { s.onFull = drop }

func (s *Store) mayGrow() error {
	if s.MayGrow == nil {
		return nil
	}
	return s.MayGrow()
}

// Open opens the SQLite database at path, creating it where there is none, and
// brings its schema up to date. A database of a newer version is refused.
func Open(ctx context.Context, path string, log *slog.Logger) (*Store, error) {
	write, err := connect(path, 1)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	s := &Store{write: write}
	if err := s.migrate(ctx, log); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), s.Close())
	}
	if s.read, err = connect(path, max(4, runtime.NumCPU())); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), s.Close())
	}
	return s, nil
}

// connect opens a pool of connections. With synchronous=FULL a commit returns
// when it is on the disk, and readers see it only then: nobody is told what a
// loss of power takes back. NORMAL would sync at checkpoints only.
func connect(path string, connections int) (*bun.DB, error) {
	q := url.Values{"_pragma": {
		"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)", "foreign_keys(ON)", "temp_store(MEMORY)",
	}, "_txlock": {"immediate"}, "_time_format": {"sqlite"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	if err := db.Ping(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return bun.NewDB(db, sqlitedialect.New()), nil
}

func (s *Store) migrate(ctx context.Context, log *slog.Logger) error {
	all, err := migrations.All()
	if err != nil {
		return err
	}
	m := migrate.NewMigrator(s.write, all, migrate.WithMarkAppliedOnSuccess(true))
	if err := m.Init(ctx); err != nil {
		return fmt.Errorf("prepare migrations: %w", err)
	}
	missing, err := m.MissingMigrations(ctx)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if len(missing) > 0 {
		return fmt.Errorf("the database was written by a newer version (migration %s): run that version again, or restore a backup", missing[len(missing)-1].Name)
	}
	group, err := m.Migrate(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if !group.IsZero() {
		log.Info("database migrated", "migrations", group.Migrations.String())
	}
	return nil
}

// Close closes the database; what was committed stays.
func (s *Store) Close() error {
	var errs []error
	for _, db := range []*bun.DB{s.read, s.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// Ping tells whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.read.PingContext(ctx) }

// inTx runs f in a write transaction. Errors: f's, the database's, and ctx's
// once it has ended.
func (s *Store) inTx(ctx context.Context, f func(ctx context.Context, tx bun.Tx) error) error {
	err := s.write.RunInTx(ctx, nil, f)
	if err != nil && space.IsFull(err) && s.onFull != nil && s.onFull() {
		err = s.write.RunInTx(ctx, nil, f)
	}
	return ended(ctx, err)
}

// inRead runs f in a transaction that sees the database at one moment. Errors:
// f's, the database's, and ctx's once it has ended.
func (s *Store) inRead(ctx context.Context, f func(ctx context.Context, tx bun.Tx) error) error {
	return ended(ctx, s.read.RunInTx(ctx, &sql.TxOptions{ReadOnly: true}, f))
}

// ended adds ctx's error to that of a transaction which ctx has rolled back:
// package sql says only that it is over, and who waits with a limit must be able
// to tell that from a fault of the database.
func ended(ctx context.Context, err error) error {
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}

// isDuplicate reports whether a unique index refused the row.
func isDuplicate(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}
