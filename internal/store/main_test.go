package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/secretbox"
	"github.com/opendaytona/daytona/test/postgres"
)

// onPostgres marks the run on PostgreSQL.
const onPostgres = "STORE_TEST_ON_POSTGRES"

var pg *postgres.Server // nil in the run on SQLite

// TestMain runs all tests twice: on SQLite, and in a process of its own on PostgreSQL.
func TestMain(m *testing.M) {
	if os.Getenv(onPostgres) == "" {
		code := m.Run()
		if code == 0 && !strings.Contains(strings.Join(os.Args, " "), "-test.fuzz") {
			code = again()
		}
		os.Exit(code)
	}
	var err error
	if pg, err = postgres.Start(context.Background(), false); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	claimWait = time.Second
	code := m.Run()
	if err := pg.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func again() int {
	fmt.Println("on PostgreSQL:")
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), onPostgres+"=1"), os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "on PostgreSQL:", err)
		return 1
	}
	return 0
}

var (
	databasesMu sync.Mutex
	databases   = map[string]string{}
)

// databaseAt is path, or in the run on PostgreSQL a database of its own for path.
func databaseAt(t testing.TB, path string) string {
	t.Helper()
	if pg == nil {
		return path
	}
	databasesMu.Lock()
	defer databasesMu.Unlock()
	if databases[path] == "" {
		sum := sha256.Sum256([]byte(path))
		url, err := pg.Create(t.Context(), hex.EncodeToString(sum[:8]), migrated(t))
		if err != nil {
			t.Fatal(err)
		}
		databases[path] = url
	}
	return databases[path]
}

// migrated is a database that others are copied from, which is quicker than to
// migrate each.
func migrated(t testing.TB) string {
	const name = "migrated"
	if databases[name] != "" {
		return name
	}
	url, err := pg.Create(t.Context(), name, "template0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), url, testKey, slog.New(slog.DiscardHandler))
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	databases[name] = url
	return name
}

func open(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), databaseAt(t, path), testKey, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// testKey seals in all tests, which open databases again.
var testKey = secretbox.NewKey()
