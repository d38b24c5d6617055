package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/uptrace/bun"
)

// errOvertaken says that a row was changed between reading and writing it. The
// transaction that meets it is tried again.
var errOvertaken = errors.New("the row was changed meanwhile")

// versioned is a row that counts its changes.
type versioned[R any] interface {
	*R
	version() *int64
}

// update writes those columns of a row in which now differs from was, which is as
// it was read. Errors: errOvertaken when it is another one by now.
func update[R any, P versioned[R]](ctx context.Context, tx bun.Tx, was, now P) error {
	before := *was.version()
	*now.version() = before
	columns := differing(tx, was, now)
	if len(columns) == 0 {
		return nil
	}
	*now.version() = before + 1
	res, err := tx.NewUpdate().Model(now).Column(append(columns, "version")...).WherePK().Where("version = ?", before).Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return fmt.Errorf("update %T: %w", now, errOvertaken)
}

func differing(db bun.IDB, was, now any) (columns []string) {
	a, b := reflect.ValueOf(was).Elem(), reflect.ValueOf(now).Elem()
	for _, f := range db.Dialect().Tables().Get(a.Type()).DataFields {
		if !same(f.Value(a).Interface(), f.Value(b).Interface()) {
			columns = append(columns, f.Name)
		}
	}
	return columns
}

// same reports whether a column would hold the same of both. Databases keep
// microseconds.
func same(a, b any) bool {
	switch x := a.(type) {
	case time.Time:
		return x.Truncate(time.Microsecond).Equal(b.(time.Time).Truncate(time.Microsecond))
	case *time.Time:
		y := b.(*time.Time)
		return x == nil && y == nil || x != nil && y != nil && same(*x, *y)
	}
	return reflect.DeepEqual(a, b)
}
