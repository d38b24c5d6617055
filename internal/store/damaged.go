package store

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// jsonColumn is a column of JSON. One that cannot be read keeps why: a single
// damaged row must not hide all others that a query finds with it.
type jsonColumn[T any] struct {
	v   T
	err error
}

func column[T any](v T) jsonColumn[T] { return jsonColumn[T]{v: v} }

// Scan implements sql.Scanner.
func (c *jsonColumn[T]) Scan(src any) error {
	var text []byte
	switch src := src.(type) {
	case string:
		text = []byte(src)
	case []byte:
		text = src
	default:
		c.err = fmt.Errorf("it is no text but %T", src)
		return nil
	}
	if err := json.Unmarshal(text, &c.v); err != nil {
		*c = jsonColumn[T]{err: err}
	}
	return nil
}

// Value implements driver.Valuer.
func (c jsonColumn[T]) Value() (driver.Value, error) {
	text, err := json.Marshal(c.v)
	return string(text), err
}

// damage says which columns could not be read, nil for none.
func damage(columns map[string]error) error {
	var all []error
	for name, err := range columns {
		if err != nil {
			all = append(all, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(all...)
}

const damagedRecord = "The record of the %s in the server's database is damaged (%v): delete it, or let the administrator restore a backup of the database."

// markSandbox makes a sandbox whose row is damaged one in error, as long as it is
// not going. What it may reach is not known, so it is nothing.
func markSandbox(sb *sandbox.Sandbox, why error) {
	if why == nil {
		return
	}
	sb.Damaged = true
	sb.Network = sandbox.Network{BlockAll: true}
	if sb.Desired != sandbox.DesiredDestroyed {
		sb.State, sb.ErrorReason, sb.Recoverable = sandbox.StateError, fmt.Sprintf(damagedRecord, "sandbox", why), false
	}
}

// keepDamagedSandbox fails for a change of a damaged row other than its end, which
// would write over what may still be saved.
func keepDamagedSandbox(sb *sandbox.Sandbox) error {
	if !sb.Damaged || sb.Desired == sandbox.DesiredDestroyed {
		return nil
	}
	return fault.Conflict("SANDBOX_DAMAGED", sb.ErrorReason)
}

// markSnapshot and keepDamagedSnapshot are the same for snapshots.
func markSnapshot(s *snapshot.Snapshot, why error) {
	if why == nil {
		return
	}
	s.Damaged = true
	if s.State != snapshot.StateRemoving {
		s.State, s.ErrorReason = snapshot.StateError, fmt.Sprintf(damagedRecord, "snapshot", why)
	}
}

func keepDamagedSnapshot(s *snapshot.Snapshot) error {
	if !s.Damaged || s.State == snapshot.StateRemoving {
		return nil
	}
	return fault.Conflict("SNAPSHOT_DAMAGED", s.ErrorReason)
}
