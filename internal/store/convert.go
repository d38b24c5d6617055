package store

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opendaytona/daytona/internal/fault"
)

// missing turns the absence of a row into the noun's fault.
func missing(err error, code, format string, args ...any) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fault.NotFound(code, fmt.Sprintf(format, args...))
	}
	return err
}

// ignoreNone drops the error that says there is no row.
func ignoreNone(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// later is the later of two times.
func later(t time.Time, other *time.Time) *time.Time {
	if other != nil && other.After(t) {
		t = *other
	}
	return &t
}

// notNil keeps an empty list [] in its column, not null.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func notNilMap(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// escapeLike takes their meaning from the wildcards of LIKE.
func escapeLike(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s)
}

// beyondPrefix is greater than every text that begins with prefix, and less than
// every other one that is greater than it.
func beyondPrefix(prefix string) string { return prefix + "\U0010FFFF" }
