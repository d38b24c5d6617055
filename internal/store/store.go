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
	"runtime"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/migrate"

	"github.com/opendaytona/daytona/internal/space"
	"github.com/opendaytona/daytona/internal/store/migrations"
)

// Store is an open database. Writes go through one connection, so that they
// never meet; reads have a pool beside it (SQLite's WAL lets them go on during
// a write).
type Store struct {
	write   *bun.DB
	read    *bun.DB
	dialect dialect

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
	write, err := connectSQLite(path, 1)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	s := &Store{write: write, dialect: sqliteDialect{}}
	if err := s.migrate(ctx, log); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), s.Close())
	}
	if s.read, err = connectSQLite(path, max(4, runtime.NumCPU())); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), s.Close())
	}
	if err := s.dialect.analyze(ctx, s.write); err != nil {
		return nil, errors.Join(fmt.Errorf("analyze database %s: %w", path, err), s.Close())
	}
	return s, nil
}

func (s *Store) migrate(ctx context.Context, log *slog.Logger) error {
	all, err := migrations.All(s.dialect.name())
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

// transactionTries bounds how often a transaction is tried that others overtake.
const transactionTries = 10

// inTx runs f in a write transaction, again when others that ran at once made it
// fail: f must do each time what it did the first time. Errors: f's, the
// database's, and ctx's once it has ended.
func (s *Store) inTx(ctx context.Context, f func(ctx context.Context, tx bun.Tx) error) error {
	var err error
	for range transactionTries {
		err = s.write.RunInTx(ctx, nil, f)
		if !errors.Is(err, errOvertaken) && !s.dialect.isRepeatable(err) {
			break
		}
	}
	if err != nil && space.IsFull(err) && s.onFull != nil && s.onFull() {
		err = s.write.RunInTx(ctx, nil, f)
	}
	return ended(ctx, err)
}

// inRead runs f in a transaction that sees the database at one moment. Errors:
// f's, the database's, and ctx's once it has ended.
func (s *Store) inRead(ctx context.Context, f func(ctx context.Context, tx bun.Tx) error) error {
	return ended(ctx, s.read.RunInTx(ctx, s.dialect.snapshot(), f))
}

// Analyze brings up to date what the planner of queries knows of the tables. It
// should be called now and then, and costs little when they have not grown.
func (s *Store) Analyze(ctx context.Context) error { return s.dialect.analyze(ctx, s.write) }

// ended adds ctx's error to that of a transaction which ctx has rolled back:
// package sql says only that it is over, and who waits with a limit must be able
// to tell that from a fault of the database.
func ended(ctx context.Context, err error) error {
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}
