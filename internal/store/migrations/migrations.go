// Package migrations holds the schema as numbered SQL files, each applied once,
// in a transaction of its own. A file that was released is never changed; a new
// one follows it. Most of the SQL is what SQLite and PostgreSQL share: text ids,
// JSON as text, timestamps in UTC. What only one of them takes is in its directory.
//
// Making a table again loses its triggers: 0034 has those of sandboxes and snapshots.
package migrations

import (
	"embed"
	"fmt"
	"io/fs"

	"github.com/uptrace/bun/migrate"
)

//go:embed *.sql sqlite/*.sql postgres/*.sql
var files embed.FS

// The databases that have migrations of their own.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// All reads the migrations of a database in order.
func All(database string) (*migrate.Migrations, error) {
	all := migrate.NewMigrations()
	for _, dir := range []string{".", database} {
		sub, err := fs.Sub(files, dir)
		if err == nil {
			err = all.Discover(flat{sub})
		}
		if err != nil {
			return nil, fmt.Errorf("read embedded migrations: %w", err)
		}
	}
	return all, nil
}

// flat hides the directories in an fs.FS, which Discover would read along.
type flat struct{ fs.FS }

// ReadDir implements fs.ReadDirFS.
func (f flat) ReadDir(name string) (here []fs.DirEntry, err error) {
	entries, err := fs.ReadDir(f.FS, name)
	for _, e := range entries {
		if !e.IsDir() {
			here = append(here, e)
		}
	}
	return here, err
}
