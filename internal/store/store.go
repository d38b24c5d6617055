// Package store keeps the rows of every noun in SQL, through bun: in SQLite, or in
// PostgreSQL. The rows are the same (text ids, timestamps, JSON as text); what differs
// is in dialect.go and in a file for each. Each noun has its file, which implements the Store interface of the
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

	"github.com/opendaytona/daytona/internal/secretbox"
	"github.com/opendaytona/daytona/internal/space"
	"github.com/opendaytona/daytona/internal/store/migrations"
)

// Store is an open database. In SQLite, writes go through one connection, so that
// they never meet; reads have a pool beside it (its WAL lets them go on during a
// write). In PostgreSQL, a transaction locks what it changes.
type Store struct {
	write   *bun.DB
	read    *bun.DB
	dialect dialect
	secrets *secretbox.Key
	claim   *claim // of PostgreSQL

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

// Open opens a database: the one of a URL that begins with postgres://, or else the
// SQLite database at a path, made where there is none. It brings the schema up to
// date; a database of a newer version is refused, and one of PostgreSQL that another
// server has open.
// Secrets are sealed with the key.
func Open(ctx context.Context, database string, secrets *secretbox.Key, log *slog.Logger) (*Store, error) {
	s := &Store{secrets: secrets}
	err := s.connect(ctx, database, log)
	if err == nil {
		err = s.migrate(ctx, log)
	}
	if err == nil {
		err = s.sealOld(ctx)
	}
	if err == nil {
		err = s.dialect.analyze(ctx, s.write)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", Name(database), err), s.Close())
	}
	return s, nil
}

// readers is how many connections read at once.
func readers() int { return max(4, runtime.NumCPU()) }

// connect fills in the connections: of SQLite, one writes.
func (s *Store) connect(ctx context.Context, database string, log *slog.Logger) (err error) {
	if !isPostgres(database) {
		s.dialect = sqliteDialect{}
		if s.write, err = connectSQLite(database, 1); err != nil {
			return err
		}
		s.read, err = connectSQLite(database, readers())
		return err
	}
	s.dialect = postgresDialect{}
	config, err := parsePostgres(database)
	if err != nil {
		return err
	}
	c := &claim{config: config, log: log}
	if err := c.take(ctx); err != nil {
		return err
	}
	s.claim = c
	if s.write, err = connectPostgres(ctx, config, readers()); err != nil {
		return err
	}
	s.read, err = connectPostgres(ctx, config, readers())
	return err
}

// Keep sees to it until ctx ends that no other server uses the database. Errors:
// one does.
func (s *Store) Keep(ctx context.Context) error {
	if s.claim != nil {
		return s.claim.keep(ctx)
	}
	<-ctx.Done() // the data directory, which has the file, is claimed already
	return nil
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
	if s.claim != nil {
		errs = append(errs, s.claim.close())
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
