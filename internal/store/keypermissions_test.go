package store

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/permission"
)

func TestKeysOfEarlierVersionsKeepWhatTheirPermissionsMeant(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	now := time.Now()
	for _, u := range []*account.User{{ID: "admin", Email: "admin", Admin: true}, {ID: "owner", Email: "owner"}} {
		o := &account.Organization{ID: u.ID, Name: u.ID, CreatedBy: u.ID, CreatedAt: now, UpdatedAt: now}
		if err := s.Found(t.Context(), u, o); err != nil {
			t.Fatal(err)
		}
	}
	type list = []permission.Permission
	mayLook := list{permission.UseToolbox, permission.ReadEnv, permission.UsePreviews}
	cases := []struct {
		name, user string
		had, gets  list
	}{
		{"all of the administrator", "admin", permission.Published, slices.Concat(mayLook, list{permission.ReadMetrics, permission.ManageServer})},
		{"all of another", "owner", permission.Published, mayLook},
		{"sandboxes only", "admin", list{permission.WriteSandboxes}, slices.Concat(mayLook, list{permission.ReadLimits})},
		{"snapshots only", "admin", list{permission.WriteSnapshots}, nil},
		{"none", "admin", list{}, nil},
	}
	for _, c := range cases {
		k := &account.Key{Hash: c.name, Name: c.name, OrganizationID: c.user, UserID: c.user, Permissions: c.had, CreatedAt: now}
		if err := s.InsertKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	migration, err := os.ReadFile("migrations/0013_key_permissions.tx.up.sql")
	if err != nil {
		t.Fatal(err)
	}
	for statement := range strings.SplitSeq(string(migration), "--bun:split") {
		if _, err := s.write.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range cases {
		got, _, err := s.KeyByHash(t.Context(), c.name)
		if err != nil {
			t.Fatal(err)
		}
		if want := slices.Concat(c.had, c.gets); !slices.Equal(got.Permissions, want) {
			t.Errorf("%s: %v, want %v", c.name, got.Permissions, want)
		}
	}
}
