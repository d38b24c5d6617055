package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/opendaytona/daytona/internal/store/migrations"
)

// postgresDialect lets many write at once: rows and keys are locked in each
// transaction, in the order organization, snapshot, sandbox, so that few meet.
type postgresDialect struct{}

func (postgresDialect) name() string { return migrations.Postgres }

// What PostgreSQL calls its errors.
const (
	uniqueViolation      = "23505"
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
)

func isCode(err error, codes ...string) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return false
	}
	for _, code := range codes {
		if e.Code == code {
			return true
		}
	}
	return false
}

func (postgresDialect) isDuplicate(err error) bool { return isCode(err, uniqueViolation) }

func (postgresDialect) isRepeatable(err error) bool {
	return isCode(err, serializationFailure, deadlockDetected)
}

func (postgresDialect) snapshot() *sql.TxOptions {
	return &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}
}

func (postgresDialect) lockRows(q *bun.SelectQuery, how rowLock) *bun.SelectQuery {
	return q.For(string(how))
}

func (postgresDialect) lockKey(ctx context.Context, tx bun.Tx, key string) error {
	_, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", key)
	return err
}

// analyze does at once what autovacuum, which may be off, does in its time.
func (postgresDialect) analyze(ctx context.Context, db *bun.DB) error {
	_, err := db.ExecContext(ctx, "ANALYZE sandboxes, snapshots, sandbox_labels, departed_sandboxes, sandbox_counts, snapshot_counts")
	return err
}

func (postgresDialect) forget(ctx context.Context, db *bun.DB) error {
	_, err := db.ExecContext(ctx, "VACUUM FULL sandboxes")
	if err == nil {
		_, err = db.ExecContext(ctx, "VACUUM FULL snapshots")
	}
	return err
}

// isPostgres tells the URL of a database from the path of a file.
func isPostgres(database string) bool {
	return strings.HasPrefix(database, "postgres://") || strings.HasPrefix(database, "postgresql://")
}

func parsePostgres(database string) (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig(database)
	if err != nil {
		return nil, errors.New("it is no URL of a PostgreSQL database") // the parser's error may repeat the password
	}
	// bun writes values into the statements, so none comes twice: to prepare each
	// would be a round trip for nothing.
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "daytona"
	}
	// Literals of bun are written for this, and times are kept without a zone.
	c.RuntimeParams["standard_conforming_strings"] = "on"
	c.RuntimeParams["TimeZone"] = "UTC"
	return c, nil
}

// Name is how people are told of a database: its path, or where it is, without
// user and password.
func Name(database string) string {
	if !isPostgres(database) {
		return database
	}
	c, err := parsePostgres(database)
	if err != nil {
		return "postgres://"
	}
	if strings.HasPrefix(c.Host, "/") {
		return fmt.Sprintf("postgres:///%s?host=%s", c.Database, c.Host)
	}
	return fmt.Sprintf("postgres://%s:%d/%s", c.Host, c.Port, c.Database)
}

func connectPostgres(ctx context.Context, c *pgx.ConnConfig, connections int) (*bun.DB, error) {
	db := stdlib.OpenDB(*c)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return bun.NewDB(db, pgdialect.New()), nil
}

// claim is a session of PostgreSQL that has the lock which only one server can have.
type claim struct {
	config *pgx.ConnConfig
	conn   *pgx.Conn
	log    *slog.Logger
}

const (
	claimKey    = 0x646179746f6e61 // "daytona"
	claimPeriod = 5 * time.Second
)

// claimWait is how long a server that has just ended may take to be forgotten.
var claimWait = 10 * time.Second

var errClaimed = errors.New("another server uses it: end that one, or give each a database of its own")

// take gets the lock. Errors: errClaimed when another server has it.
func (c *claim) take(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, c.config)
	if err != nil {
		return err
	}
	for wait := time.Now().Add(claimWait); ; {
		var got bool
		err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", int64(claimKey)).Scan(&got)
		if err == nil && !got && time.Now().After(wait) {
			err = errClaimed
		}
		if err != nil {
			return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
		}
		if got {
			c.conn = conn
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), conn.Close(context.WithoutCancel(ctx)))
		}
	}
}

// keep looks after the lock until ctx ends: a database that was started again has
// forgotten it. Errors: errClaimed when another server was quicker.
func (c *claim) keep(ctx context.Context) error {
	tick := time.NewTicker(claimPeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		switch err := c.look(ctx); {
		case errors.Is(err, errClaimed):
			return fmt.Errorf("the lock on the database was lost: %w", err)
		case err != nil && ctx.Err() == nil:
			c.log.Error("connect to the database again", "err", err)
		}
	}
}

// look takes the lock again if it was lost.
func (c *claim) look(ctx context.Context) error {
	if c.conn.Ping(ctx) == nil {
		return nil
	}
	_ = c.conn.Close(ctx) // it is lost
	return c.take(ctx)
}

func (c *claim) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), claimPeriod)
	defer cancel()
	return c.conn.Close(ctx)
}
