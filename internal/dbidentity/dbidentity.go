// Package dbidentity notices when a data directory has another database than
// before, an older copy of it, or none: its rows would know none of the sandboxes
// that are there.
package dbidentity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"k8s.io/utils/clock"

	"github.com/opendaytona/daytona/internal/config"

	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/durable"
	"github.com/opendaytona/daytona/internal/fault"
)

// Watch keeps beside the database what it was, and compares.
type Watch struct {
	DataDir  string
	Database Database
	Name     string // of the database, for people
	Accepted bool   // by the administrator: another database, or none, is as wanted
	Clock    clock.WithTicker
	Log      *slog.Logger
}

// Database is the one that is open.
type Database interface {
	Founder(ctx context.Context) (*account.User, error)
	// CountOpening counts one more opening and returns how many there were.
	CountOpening(ctx context.Context) (int64, error)
	// Analyze lets the database choose its plans by what there is now.
	Analyze(ctx context.Context) error
}

// identity is what the data directory remembers of its database.
type identity struct {
	Founder string `json:"founder"` // id of its first user
	Opened  int64  `json:"opened"`  // how often it was, or has counted on
}

// countPeriod is how often a running server counts on: what was copied before
// is an older copy.
const countPeriod = 10 * time.Minute

func (w Watch) read() (l identity, err error) {
	b, err := os.ReadFile(w.below(config.LineageName))
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &l)
	}
	if err != nil {
		return l, fmt.Errorf("read %s: %w", w.below(config.LineageName), err)
	}
	return l, nil
}

// RefuseLoss ends the start when the database is gone that this data directory
// had, before a new one is made: that would know none of the sandboxes.
func RefuseLoss(dataDir string, accepted bool) error {
	path := filepath.Join(dataDir, config.DatabaseName)
	info, err := os.Stat(path)
	if err == nil && info.Size() > 0 {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open database: %w", err)
	}
	had := false
	for _, name := range []string{config.LineageName, config.CredentialsName} {
		if _, err := os.Stat(filepath.Join(dataDir, name)); err == nil {
			had = true
		}
	}
	if !had || accepted {
		return nil
	}
	what := "is gone"
	if err == nil {
		what = "is empty"
	}
	return fmt.Errorf("the database %s %s, and this data directory has been in use: restore it from a backup (remove %[1]s-wal and %[1]s-shm with it), or run `daytona server quarantine all`, after which a start makes a new one and keeps the old sandboxes' disks for you to adopt", path, what)
}

// Regressed reports whether the database is an older copy than the last one
// that was opened here. Errors: when it is another one altogether.
func (w Watch) Regressed(ctx context.Context) (bool, error) {
	known, err := w.read()
	if err != nil {
		return false, err
	}
	founder, err := w.Database.Founder(ctx)
	switch {
	case fault.Is(err, fault.KindNotFound):
		founder = &account.User{} // it is a new one
	case err != nil:
		return false, err
	}
	other := known.Founder != "" && known.Founder != founder.ID
	if other && !w.Accepted {
		return false, fmt.Errorf("the database %s is not the one that this data directory had: restore it from a backup, or run `daytona server quarantine all`, after which a start goes on with this one and keeps the other one's disks for you to adopt", w.Name)
	}
	n, err := w.Database.CountOpening(ctx)
	if err != nil {
		return false, fmt.Errorf("count the opening of the database: %w", err)
	}
	return n <= known.Opened || other || w.Accepted, nil
}

// Remember writes what the database is now.
func (w Watch) Remember(ctx context.Context) error {
	founder, err := w.Database.Founder(ctx)
	if err != nil {
		return err
	}
	n, err := w.Database.CountOpening(ctx)
	if err != nil {
		return fmt.Errorf("count the opening of the database: %w", err)
	}
	b, err := json.Marshal(identity{Founder: founder.ID, Opened: n})
	if err != nil {
		return err
	}
	return durable.WriteFile(w.below(config.LineageName), append(b, '\n'), 0o600)
}

// CountOn does it now and then until ctx ends, and tends the database.
func (w Watch) CountOn(ctx context.Context) {
	tick := w.Clock.NewTicker(countPeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C():
			if err := w.Remember(ctx); err != nil && ctx.Err() == nil {
				w.Log.Error("count the opening of the database", "err", err)
			}
			if err := w.Database.Analyze(ctx); err != nil && ctx.Err() == nil {
				w.Log.Error("analyze the database", "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (w Watch) below(name string) string { return filepath.Join(w.DataDir, name) }
