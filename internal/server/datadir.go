package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/durable"
)

// The files of the data directory that other rooms do not name.
const (
	lockName          = "server.lock"
	databaseName      = "daytona.db"
	imagesName        = "images"
	tlsName           = "tls"
	buildsName        = "builds"   // the cache's index, and builds that run
	contextsName      = "contexts" // archives that builds copy from
	registryName      = "registry" // images that were pushed here
	logsName          = "logs"
	lineageName       = "database.json" // what is remembered of the database
	ballastName       = "ballast"       // space that deleting may take when there is no other
	quarantineName    = "quarantine"    // what the database does not know
	baseImageName     = "base-image"
	defaultsName      = "default-snapshots"
	slimChosenName    = "default-image-slim" // an administrator asked for the slim default image
	triedName         = "machine-tried"      // on what a sandbox was last seen to start
	encryptionKeyName = "encryption.key"
	previewKeyName    = "preview.key"      // from which the previews' tokens are derived
	CredentialsName   = "credentials.json" // read by the CLI on the same machine
)

// dataDir is a data directory that is ours alone until Close, or until the
// process ends.
type dataDir struct {
	path string // without symbolic links
	lock *os.File
}

// claimDataDir locks the directory, which must exist.
func claimDataDir(path string) (*dataDir, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory %s: %w", path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 32))
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another server (process %s) is running on data directory %s: stop it first, or use another --data-dir", strings.TrimSpace(string(holder)), path)
		}
		return nil, fmt.Errorf("lock data directory %s: %w", path, err)
	}
	if err = f.Truncate(0); err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock data directory %s: %w", path, err)
	}
	return &dataDir{path, f}, nil
}

// Close gives the directory up.
func (d *dataDir) Close() error { return d.lock.Close() }

// createDatabaseFile makes the file readable for us only, before SQLite would
// make it readable for all; the files beside it take its mode.
func createDatabaseFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	return errors.Join(f.Close(), durable.SyncDir(filepath.Dir(path)))
}
