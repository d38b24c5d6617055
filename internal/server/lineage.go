package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/opendaytona/daytona/internal/config"

	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/durable"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/store"
)

// lineage is what the data directory remembers of its database, to notice when
// that is another one, or an older copy.
type lineage struct {
	Founder string `json:"founder"` // id of its first user
	Opened  int64  `json:"opened"`  // how often it was, or has counted on
}

// countPeriod is how often a running server counts on: what was copied before
// is an older copy.
const countPeriod = 10 * time.Minute

func (s *server) readLineage() (l lineage, err error) {
	b, err := os.ReadFile(s.Below(config.LineageName))
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &l)
	}
	if err != nil {
		return l, fmt.Errorf("read %s: %w", s.Below(config.LineageName), err)
	}
	return l, nil
}

// refuseLoss ends the start when the database is gone that this data directory
// had, before a new one is made: that would know none of the sandboxes. In PostgreSQL
// nothing is lost by opening an empty one; regressed tells that it is another one.
func (s *server) refuseLoss() error {
	if s.Database != "" {
		return nil
	}
	path := s.Below(config.DatabaseName)
	info, err := os.Stat(path)
	if err == nil && info.Size() > 0 {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open database: %w", err)
	}
	had := false
	for _, name := range []string{config.LineageName, config.CredentialsName} {
		if _, err := os.Stat(s.Below(name)); err == nil {
			had = true
		}
	}
	if !had || quarantineIndex(s.Config).Accepted() {
		return nil
	}
	what := "is gone"
	if err == nil {
		what = "is empty"
	}
	return fmt.Errorf("the database %s %s, and this data directory has been in use: restore it from a backup (remove %[1]s-wal and %[1]s-shm with it), or run `daytona server quarantine all`, after which a start makes a new one and keeps the old sandboxes' disks for you to adopt", path, what)
}

// regressed reports whether the database is an older copy than the last one
// that was opened here. Errors: when it is another one altogether.
func (s *server) regressed(ctx context.Context) (bool, error) {
	known, err := s.readLineage()
	if err != nil {
		return false, err
	}
	founder, err := s.db.Founder(ctx)
	switch {
	case fault.Is(err, fault.KindNotFound):
		founder = &account.User{} // it is a new one
	case err != nil:
		return false, err
	}
	other := known.Founder != "" && known.Founder != founder.ID
	accepted := quarantineIndex(s.Config).Accepted()
	if other && !accepted {
		return false, fmt.Errorf("the database %s is not the one that this data directory had: restore it from a backup, or run `daytona server quarantine all`, after which a start goes on with this one and keeps the other one's disks for you to adopt", store.Name(s.DatabasePath()))
	}
	n, err := s.db.CountOpening(ctx)
	if err != nil {
		return false, fmt.Errorf("count the opening of the database: %w", err)
	}
	return n <= known.Opened || other || accepted, nil
}

// remember writes the lineage.
func (s *server) remember(ctx context.Context) error {
	founder, err := s.db.Founder(ctx)
	if err != nil {
		return err
	}
	n, err := s.db.CountOpening(ctx)
	if err != nil {
		return fmt.Errorf("count the opening of the database: %w", err)
	}
	b, err := json.Marshal(lineage{Founder: founder.ID, Opened: n})
	if err != nil {
		return err
	}
	return durable.WriteFile(s.Below(config.LineageName), append(b, '\n'), 0o600)
}

// countOn does it now and then, and tends the database.
func (s *server) countOn(ctx context.Context) error {
	tick := s.clock.NewTicker(countPeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C():
			if err := s.remember(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("count on", "err", err)
			}
			if err := s.db.Analyze(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("analyze the database", "err", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}
