package store

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

func TestALineOfForksIsRememberedUntilTheLastOfItIsGone(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	snap := newSnapshot("org", "snap")
	snap.State = snapshot.StateActive
	if err := s.InsertSnapshot(t.Context(), snap, anySnapshots); err != nil {
		t.Fatal(err)
	}
	root := newSandbox("org", "root", snap)
	root.Env = map[string]string{"TOKEN": "secret"}
	if err := s.InsertSandbox(t.Context(), root, anyUsage); err != nil {
		t.Fatal(err)
	}
	fork := func(name string, parent *sandbox.Sandbox) *sandbox.Sandbox {
		t.Helper()
		sb := newSandbox("org", name, snap)
		sb.ParentID, sb.RootID, sb.CopyOf = parent.ID, root.ID, parent.ID
		if err := s.InsertFork(t.Context(), sb, anyUsage); err != nil {
			t.Fatal(err)
		}
		return sb
	}
	child := fork("child", root)
	grandchild := fork("grandchild", child)
	for _, id := range []string{root.ID, child.ID, child.ID} {
		if err := s.DeleteSandbox(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if was, err := s.Kin(t.Context(), "org", root.ID); err != nil || was.Env != nil || was.Name != "root" {
		t.Errorf("of the destroyed root is kept %+v, %v; want nothing secret", was, err)
	}
	gone, err := s.Kin(t.Context(), "org", child.ID)
	if err != nil || gone.State != sandbox.StateDestroyed || gone.ParentID != root.ID || gone.Name != "child" {
		t.Errorf("the destroyed fork is %+v, %v", gone, err)
	}
	if _, err := s.Kin(t.Context(), "other", child.ID); !fault.Is(err, fault.KindNotFound) {
		t.Errorf("another organization sees it: %v", err)
	}
	names := func(id string, destroyed bool) (names []string) {
		t.Helper()
		forks, err := s.Forks(t.Context(), "org", id, destroyed)
		if err != nil {
			t.Fatal(err)
		}
		for _, sb := range forks {
			names = append(names, sb.Name)
		}
		return names
	}
	if got := names(root.ID, false); got != nil {
		t.Errorf("live forks of the root: %v", got)
	}
	if got := names(root.ID, true); !slices.Equal(got, []string{"child"}) {
		t.Errorf("all forks of the root: %v", got)
	}
	late := newSandbox("org", "late", snap)
	late.ParentID = child.ID
	if err := s.InsertFork(t.Context(), late, anyUsage); !fault.Is(err, fault.KindConflict) {
		t.Errorf("a fork of what is gone: %v", err)
	}
	if err := s.DeleteSandbox(t.Context(), grandchild.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Kin(t.Context(), "org", root.ID); !fault.Is(err, fault.KindNotFound) {
		t.Errorf("the line outlives its last: %v", err)
	}
}
