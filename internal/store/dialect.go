package store

import (
	"context"
	"database/sql"

	"github.com/uptrace/bun"
)

// dialect is what differs between the databases beside their SQL, which bun and
// the migrations know.
type dialect interface {
	// name is the one of the directory of its migrations.
	name() string
	// isDuplicate reports whether a unique index refused a row.
	isDuplicate(err error) bool
	// isRepeatable reports whether the database ended a transaction only because
	// of others that ran at once.
	isRepeatable(err error) bool
	// snapshot are the options of a transaction that sees one moment.
	snapshot() *sql.TxOptions
	// lockRows keeps the rows that q selects from others until the transaction
	// ends, as how says.
	lockRows(q *bun.SelectQuery, how rowLock) *bun.SelectQuery
	// lockKey lets one transaction at a time count on what belongs to key, until it
	// ends.
	lockKey(ctx context.Context, tx bun.Tx, key string) error
	// forget removes what changed and deleted rows have left in the files.
	forget(ctx context.Context, db *bun.DB) error
	// analyze brings up to date what the planner of queries knows of the tables.
	analyze(ctx context.Context, db *bun.DB) error
}

// rowLock is how rows are kept from others until the transaction ends.
type rowLock string

const (
	toChange    rowLock = "UPDATE"             // for one that will change them
	toStay      rowLock = "SHARE"              // against changes; others may do the same
	toClaimFree rowLock = "UPDATE SKIP LOCKED" // as toChange, passing over what others keep
)
