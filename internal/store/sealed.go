package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"

	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// Variables of sandboxes and Dockerfiles, which hold tokens and passwords, are kept
// sealed. What was sealed with another key stays as it is and opens again with that
// one; until then, the sandbox or snapshot is there without it.

// none is what a column without secrets holds, which need not be sealed.
const none = "{}"

func (s *Store) sealEnv(sb *sandbox.Sandbox, was *sandboxRow) string {
	if was != nil {
		if env, _ := s.openEnv(was); maps.Equal(env, sb.Env) {
			return was.Env // sealed again, it would be another text
		}
	}
	if len(sb.Env) == 0 {
		return none
	}
	text, _ := json.Marshal(sb.Env) // of texts, which never fails
	return s.secrets.Seal(string(text), "sandboxes", "env", sb.ID)
}

func (s *Store) openEnv(r *sandboxRow) (env map[string]string, lost bool) {
	env = map[string]string{}
	if r.Env == none {
		return env, false
	}
	text, err := s.secrets.Open(r.Env, "sandboxes", "env", r.ID)
	if err == nil {
		err = json.Unmarshal([]byte(text), &env)
	}
	if err != nil {
		return map[string]string{}, true
	}
	return env, false
}

func (s *Store) sealBuild(snap *snapshot.Snapshot, was *snapshotRow) string {
	if was != nil && reflect.DeepEqual(s.openBuild(was), snap.Build) {
		return was.Build
	}
	text, _ := json.Marshal(snap.Build) // of plain fields, which never fails
	return s.secrets.Seal(string(text), "snapshots", "build", snap.ID)
}

// openBuild is nil for a snapshot that is not built. Of a build that does not open,
// the name is left.
func (s *Store) openBuild(r *snapshotRow) *snapshot.Build {
	if r.Build == "" {
		return nil
	}
	b := &snapshot.Build{Ref: r.BuildRef}
	text, err := s.secrets.Open(r.Build, "snapshots", "build", r.ID)
	if err == nil {
		err = json.Unmarshal([]byte(text), b)
	}
	if err != nil {
		return &snapshot.Build{Ref: r.BuildRef}
	}
	return b
}

// choreSeal is the work that 0037 leaves to the server, which has the key.
const choreSeal = "seal"

// sealOld seals what earlier versions wrote as it was, and makes the database forget
// that.
func (s *Store) sealOld(ctx context.Context) error {
	todo, err := s.write.NewSelect().Table("chores").Where("name = ?", choreSeal).Exists(ctx)
	if err != nil || !todo {
		return err
	}
	for _, column := range []struct{ table, name string }{{"sandboxes", "env"}, {"snapshots", "build"}} {
		if err := s.sealColumn(ctx, column.table, column.name); err != nil {
			return fmt.Errorf("seal %s of %s: %w", column.name, column.table, err)
		}
	}
	if err := s.dialect.forget(ctx, s.write); err != nil {
		return fmt.Errorf("remove what was not sealed: %w", err)
	}
	_, err = s.write.NewDelete().Table("chores").Where("name = ?", choreSeal).Exec(ctx)
	return err
}

// sealedAtOnce bounds how much of a column is in memory.
const sealedAtOnce = 1000

func (s *Store) sealColumn(ctx context.Context, table, column string) error {
	for last := ""; ; {
		var rows []struct{ ID, Text string }
		err := s.write.NewSelect().Table(table).Column("id").ColumnExpr("? AS text", bun.Ident(column)).Where("id > ?", last).OrderExpr("id").Limit(sealedAtOnce).Scan(ctx, &rows)
		if err != nil || len(rows) == 0 {
			return err
		}
		last = rows[len(rows)-1].ID
		err = s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
			for _, r := range rows {
				if r.Text == none || !strings.HasPrefix(r.Text, "{") {
					continue
				}
				sealed := s.secrets.Seal(r.Text, table, column, r.ID)
				if _, err := tx.NewUpdate().Table(table).Set("? = ?", bun.Ident(column), sealed).Where("id = ?", r.ID).Exec(ctx); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}
