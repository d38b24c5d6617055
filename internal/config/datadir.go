package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/durable"
)

// The files of the data directory that other rooms do not name.
const (
	LockName          = "server.lock"
	DatabaseName      = "daytona.db"
	ImagesName        = "images"
	TLSName           = "tls"
	BuildsName        = "builds"   // the cache's index, and builds that run
	ContextsName      = "contexts" // archives that builds copy from
	RegistryName      = "registry" // images that were pushed here
	LogsName          = "logs"
	LineageName       = "database.json" // what is remembered of the database
	BallastName       = "ballast"       // space that deleting may take when there is no other
	QuarantineName    = "quarantine"    // what the database does not know
	BaseImageName     = "base-image"
	DefaultsName      = "default-snapshots"
	SlimChosenName    = "default-image-slim" // an administrator asked for the slim default image
	TriedName         = "machine-tried"      // on what a sandbox was last seen to start
	EncryptionKeyName = "encryption.key"
	PreviewKeyName    = "preview.key"      // from which the previews' tokens are derived
	CredentialsName   = "credentials.json" // read by the CLI on the same machine
)

// DataDir is a data directory that is ours alone until Close, or until the
// process ends.
type DataDir struct {
	Path string // without symbolic links
	lock *os.File
}

// ClaimDataDir locks the directory, which must exist.
func ClaimDataDir(path string) (*DataDir, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(path, LockName), os.O_RDWR|os.O_CREATE, 0o600)
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
	return &DataDir{path, f}, nil
}

// Close gives the directory up.
func (d *DataDir) Close() error { return d.lock.Close() }

// CreateDatabaseFile makes the file readable for us only, before SQLite would
// make it readable for all; the files beside it take its mode.
func CreateDatabaseFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	return errors.Join(f.Close(), durable.SyncDir(filepath.Dir(path)))
}

// Missing reports whether there is nothing at path.
func Missing(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}
