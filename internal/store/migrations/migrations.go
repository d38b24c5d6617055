// Package migrations holds the schema as numbered SQL files, each applied once,
// in a transaction of its own. A file that was released is never changed; a new
// one follows it. The SQL is what SQLite and PostgreSQL share: text ids, JSON
// as text, timestamps in UTC.
package migrations

import (
	"embed"
	"fmt"

	"github.com/uptrace/bun/migrate"
)

//go:embed *.sql
var files embed.FS

// All reads the migrations in order.
func All() (*migrate.Migrations, error) {
	all := migrate.NewMigrations()
	if err := all.Discover(files); err != nil {
		return nil, fmt.Errorf("read embedded migrations: %w", err)
	}
	return all, nil
}
