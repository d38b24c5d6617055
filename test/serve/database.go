package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opendaytona/daytona/test/postgres"
)

// onPostgres says whether servers have databases of PostgreSQL, as DAYTONA_TEST_DATABASE
// asks for, and not of SQLite.
var onPostgres = os.Getenv("DAYTONA_TEST_DATABASE") == "postgres"

// databases is the PostgreSQL that Main started.
var databases *postgres.Server

// startDatabases starts it. Stop ends it.
func startDatabases() (stop func() error, err error) {
	if !onPostgres {
		return func() error { return nil }, nil
	}
	databases, err = postgres.Start(context.Background(), true)
	if err != nil {
		return nil, err
	}
	return databases.Stop, nil
}

// environment is that of the server and its subcommands.
func (s *Server) environment() []string {
	if s.database == "" {
		return os.Environ()
	}
	return append(os.Environ(), "DAYTONA_DATABASE="+databases.URL(s.database))
}

// newDatabase gives the server one, which is still to be opened.
func (s *Server) newDatabase() {
	s.T.Helper()
	if onPostgres {
		s.database = strings.ToLower(rand.Text())
		s.copyDatabase("template0", s.database)
	}
}

func (s *Server) copyDatabase(from, to string) {
	s.T.Helper()
	if _, err := databases.Create(s.T.Context(), to, from); err != nil {
		s.T.Fatal(err)
	}
}

func (s *Server) file() string { return filepath.Join(s.Data, "daytona.db") }

// DropDatabase removes it, and what SQLite keeps beside it. PostgreSQL gets an empty
// one of the name. The server must not run.
func (s *Server) DropDatabase() {
	s.T.Helper()
	if onPostgres {
		if err := databases.Drop(s.T.Context(), s.database); err != nil {
			s.T.Fatal(err)
		}
		s.copyDatabase("template0", s.database)
		return
	}
	files, err := filepath.Glob(s.file() + "*")
	if err != nil || len(files) == 0 {
		s.T.Fatalf("no database: %v", err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.T.Fatal(err)
		}
	}
}

// EmptyDatabase leaves of it what a crash of a file system may: a file without bytes.
func (s *Server) EmptyDatabase() {
	s.T.Helper()
	s.DropDatabase()
	if onPostgres {
		return
	}
	if err := os.WriteFile(s.file(), nil, 0o600); err != nil {
		s.T.Fatal(err)
	}
}

// Backup is a copy of a server's database.
type Backup string

// BackUp copies the database. The server must not run.
func (s *Server) BackUp() Backup {
	s.T.Helper()
	if onPostgres {
		name := strings.ToLower(rand.Text())
		s.copyDatabase(s.database, name)
		return Backup(name)
	}
	path := filepath.Join(s.T.TempDir(), "backup.db")
	s.copyFile(s.file(), path)
	return Backup(path)
}

// Restore puts a copy in the place of the database. The server must not run.
func (s *Server) Restore(b Backup) {
	s.T.Helper()
	if onPostgres {
		if err := databases.Drop(s.T.Context(), s.database); err != nil {
			s.T.Fatal(err)
		}
		s.copyDatabase(string(b), s.database)
		return
	}
	s.DropDatabase()
	s.copyFile(string(b), s.file())
}

func (s *Server) copyFile(from, to string) {
	s.T.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		s.T.Fatal(err)
	}
}
