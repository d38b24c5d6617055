package store

import (
	"context"
	"database/sql"
	"errors"
	"net/url"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	sqlite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/opendaytona/daytona/internal/store/migrations"
)

// sqliteDialect needs no locks: its only writer begins by taking the whole database.
type sqliteDialect struct{}

func (sqliteDialect) name() string { return migrations.SQLite }

func (sqliteDialect) isDuplicate(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

func (sqliteDialect) isRepeatable(error) bool { return false }

func (sqliteDialect) snapshot() *sql.TxOptions { return &sql.TxOptions{ReadOnly: true} }

func (sqliteDialect) lockRows(q *bun.SelectQuery, _ rowLock) *bun.SelectQuery { return q }

func (sqliteDialect) lockKey(context.Context, bun.Tx, string) error { return nil }

// analyze looks at some hundred rows of each index, and only where a table has
// grown much since the last time.
func (sqliteDialect) analyze(ctx context.Context, db *bun.DB) error {
	_, err := db.ExecContext(ctx, "PRAGMA optimize(0x10002)")
	return err
}

func (sqliteDialect) forget(ctx context.Context, db *bun.DB) error {
	for _, do := range []string{"VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"} {
		if _, err := db.ExecContext(ctx, do); err != nil {
			return err
		}
	}
	return nil
}

// connectSQLite opens a pool of connections. With synchronous=FULL a commit returns
// when it is on the disk, and readers see it only then: nobody is told what a
// loss of power takes back. NORMAL would sync at checkpoints only.
func connectSQLite(path string, connections int) (*bun.DB, error) {
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
