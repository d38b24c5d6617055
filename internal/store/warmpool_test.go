package store

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

func TestNoWaitingSandboxIsClaimedTwiceOrByAStranger(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	snap := newSnapshot("org", "snap")
	snap.State = snapshot.StateActive
	if err := s.InsertSnapshot(t.Context(), snap, anySnapshots); err != nil {
		t.Fatal(err)
	}
	const waiting, asking = 10, 25
	want := newSandbox("org", "want", snap)
	for i := range waiting + 1 {
		sb := newSandbox("org", fmt.Sprintf("warm-%d", i), snap)
		sb.WarmPoolID, sb.State, sb.Desired = "pool", sandbox.StateStarted, sandbox.DesiredStarted
		if i == waiting {
			sb.State = sandbox.StateStarting // not ready
		}
		if err := s.InsertSandbox(t.Context(), sb, anyUsage); err != nil {
			t.Fatal(err)
		}
	}
	for _, change := range []func(*sandbox.Sandbox){
		func(w *sandbox.Sandbox) { w.OrganizationID = "other" },
		func(w *sandbox.Sandbox) { w.SnapshotID = "other" },
		func(w *sandbox.Sandbox) { w.ImageDigest = "other" },
		func(w *sandbox.Sandbox) { w.Region = "other" },
		func(w *sandbox.Sandbox) { w.User = "other" },
		func(w *sandbox.Sandbox) { w.Resources.Disk++ },
	} {
		stranger := *want
		change(&stranger)
		if sb, err := s.ClaimSandbox(t.Context(), &stranger, func(*sandbox.Sandbox) error { return nil }); sb != nil || err != nil {
			t.Errorf("%+v gets %v, %v", stranger, sb, err)
		}
	}
	var mu sync.Mutex
	claimed := map[string]int{}
	var all sync.WaitGroup
	for range asking {
		all.Go(func() {
			sb, err := s.ClaimSandbox(t.Context(), want, func(sb *sandbox.Sandbox) error { sb.WarmPoolID = ""; return nil })
			if err != nil {
				t.Error(err)
			}
			if sb != nil {
				mu.Lock()
				claimed[sb.ID]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(claimed) != waiting {
		t.Errorf("%d were claimed, want %d", len(claimed), waiting)
	}
	for id, n := range claimed {
		if n != 1 {
			t.Errorf("%s was claimed %d times", id, n)
		}
	}
	page, _, err := s.ListSandboxes(t.Context(), sandbox.Filter{OrganizationID: "org", Limit: 100})
	if err != nil || len(page) != waiting {
		t.Errorf("%d are listed, %v; want what was claimed", len(page), err)
	}
	page, _, err = s.ListSandboxes(t.Context(), sandbox.Filter{OrganizationID: "org", Warm: true, Limit: 100})
	if err != nil || len(page) != waiting+1 {
		t.Errorf("%d are listed with those that wait, %v", len(page), err)
	}
}

func TestAWaitingSandboxThatIsUnlikeHidesNoOther(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	snap := newSnapshot("org", "snap")
	snap.State = snapshot.StateActive
	if err := s.InsertSnapshot(t.Context(), snap, anySnapshots); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		sb := newSandbox("org", fmt.Sprintf("warm-%d", i), snap)
		sb.WarmPoolID, sb.State, sb.Desired = "pool", sandbox.StateStarted, sandbox.DesiredStarted
		sb.Network.BlockAll = i < 2
		if err := s.InsertSandbox(t.Context(), sb, anyUsage); err != nil {
			t.Fatal(err)
		}
	}
	open := func(sb *sandbox.Sandbox) error {
		if sb.Network.BlockAll {
			return sandbox.ErrUnlike
		}
		sb.WarmPoolID = ""
		return nil
	}
	sb, err := s.ClaimSandbox(t.Context(), newSandbox("org", "want", snap), open)
	if err != nil || sb == nil || sb.Network.BlockAll {
		t.Fatalf("got %+v, %v", sb, err)
	}
	if sb, err := s.ClaimSandbox(t.Context(), newSandbox("org", "want", snap), open); err != nil || sb != nil {
		t.Errorf("of those that are unlike: %+v, %v", sb, err)
	}
}
