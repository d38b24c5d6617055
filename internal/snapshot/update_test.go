package snapshot_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/snapshot"
)

func update(t *testing.T, s *snapshot.Service, organization, name string, p snapshot.CreateParams) *snapshot.Snapshot {
	t.Helper()
	snap, err := s.Update(t.Context(), organization, name, false, p)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func dockerfile(text string) snapshot.CreateParams {
	return snapshot.CreateParams{Build: &snapshot.BuildParams{Dockerfile: text}}
}

// letsGoOf waits until nobody holds the image.
func letsGoOf(t *testing.T, held *images, digest string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); held.holds(digest); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s is still held", digest)
		}
	}
}

func TestAnUpdateChangesPlacesWhenItIsMade(t *testing.T) {
	s, _, held, organization := service(t)
	first := settle(t, s, build(t, s, organization, "app", "FROM a"))
	two := 2
	p := dockerfile("FROM b")
	p.Memory = &two
	settle(t, s, update(t, s, organization, "app", p))
	now, err := s.Get(t.Context(), organization, "app")
	if err != nil {
		t.Fatal(err)
	}
	if now.ID != first.ID || !now.CreatedAt.Equal(first.CreatedAt) || now.State != snapshot.StateActive || now.Next != nil {
		t.Errorf("%+v", now)
	}
	if now.ImageDigest == first.ImageDigest || now.Build.Ref == first.Build.Ref || now.Resources.Memory != 2 || now.Resources.CPU != first.Resources.CPU {
		t.Errorf("the content is %+v", now.Content)
	}
	letsGoOf(t, held, first.ImageDigest)
	if !held.holds(now.ImageDigest) {
		t.Error("the new image is not held")
	}
	if list, total, err := s.List(t.Context(), snapshot.Filter{OrganizationID: organization, Page: 1, Limit: 10}); err != nil || total != 1 {
		t.Errorf("%d snapshots are listed, %v, %v", total, list, err)
	}
	// It comes back as what it is now.
	if err := s.Deactivate(t.Context(), organization, "app", false); err != nil {
		t.Fatal(err)
	}
	again, err := s.Activate(t.Context(), organization, "app")
	if err != nil {
		t.Fatal(err)
	}
	if again = settle(t, s, again); again.State != snapshot.StateActive || again.Build.Ref != now.Build.Ref {
		t.Errorf("%+v", again)
	}
}

func TestAFailedUpdateLeavesWhatThereWasAndSaysWhy(t *testing.T) {
	s, _, held, organization := service(t)
	first := settle(t, s, build(t, s, organization, "app", "FROM a"))
	snap := settle(t, s, update(t, s, organization, "app", dockerfile("fail")))
	if snap.State != snapshot.StateActive || snap.ImageDigest != first.ImageDigest || snap.ErrorReason != "" {
		t.Errorf("the snapshot is %+v", snap.Content)
	}
	if snap.Next == nil || snap.Next.State != snapshot.StateBuildFailed || !strings.Contains(snap.Next.ErrorReason, "line 2 is wrong") {
		t.Fatalf("the update is %+v", snap.Next)
	}
	var log bytes.Buffer
	if err := s.CopyLog(t.Context(), &log, snap, true); err != nil || !strings.Contains(log.String(), "line 2 is wrong") {
		t.Errorf("the log says %q, %v", log.String(), err)
	}
	// The next one takes the failed one's place.
	snap = settle(t, s, update(t, s, organization, "app", dockerfile("FROM b")))
	if snap.Next != nil || snap.ImageDigest == first.ImageDigest {
		t.Errorf("%+v, %+v", snap.Content, snap.Next)
	}
	letsGoOf(t, held, first.ImageDigest)
}

func TestTheNewestUpdateWinsAndADeletionEndsIt(t *testing.T) {
	s, _, _, organization := service(t)
	first := settle(t, s, build(t, s, organization, "app", "FROM a"))
	if going := update(t, s, organization, "app", dockerfile("wait")); going.Next == nil || going.State != snapshot.StateActive {
		t.Fatalf("%+v", going)
	}
	snap := settle(t, s, update(t, s, organization, "app", dockerfile("FROM c")))
	if snap.Next != nil || snap.ImageDigest == first.ImageDigest {
		t.Errorf("%+v, %+v", snap.Content, snap.Next)
	}
	update(t, s, organization, "app", dockerfile("wait"))
	if err := s.CancelUpdate(t.Context(), organization, "app", false); err != nil {
		t.Fatal(err)
	}
	if snap, err := s.Get(t.Context(), organization, "app"); err != nil || snap.Next != nil || snap.State != snapshot.StateActive {
		t.Errorf("after a cancellation: %+v, %v", snap, err)
	}
	update(t, s, organization, "app", dockerfile("wait"))
	if err := s.Delete(t.Context(), organization, "app", false); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		_, err := s.Get(t.Context(), organization, "app")
		if fault.Is(err, fault.KindNotFound) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is not removed: ", err)
		}
	}
}

func TestAFailedSnapshotIsMendedByAnUpdate(t *testing.T) {
	s, _, _, organization := service(t)
	if snap := settle(t, s, build(t, s, organization, "app", "fail")); snap.State != snapshot.StateBuildFailed {
		t.Fatalf("%+v", snap)
	}
	if snap := settle(t, s, update(t, s, organization, "app", dockerfile("FROM a"))); snap.State != snapshot.StateActive || snap.ErrorReason != "" {
		t.Errorf("%+v", snap)
	}
}

func TestWhatAnUpdateMustNotBe(t *testing.T) {
	s, _, _, organization := service(t)
	settle(t, s, build(t, s, organization, "app", "FROM a"))
	many := 1000
	for what, c := range map[string]struct {
		name string
		p    snapshot.CreateParams
		want fault.Kind
	}{
		"nothing":           {"app", snapshot.CreateParams{}, fault.KindInvalid},
		"two sources":       {"app", snapshot.CreateParams{ImageName: "debian:12.9", Build: &snapshot.BuildParams{Dockerfile: "FROM a"}}, fault.KindInvalid},
		"another name":      {"app", snapshot.CreateParams{Name: "other", ImageName: "debian:12.9"}, fault.KindInvalid},
		"a missing one":     {"none", snapshot.CreateParams{ImageName: "debian:12.9"}, fault.KindNotFound},
		"more than allowed": {"app", snapshot.CreateParams{CPU: &many}, fault.KindQuota},
	} {
		if _, err := s.Update(t.Context(), organization, c.name, false, c.p); !fault.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Without new content a change is made at once; an empty entrypoint is the
	// image's, which has none.
	two := 2
	snap := update(t, s, organization, "app", snapshot.CreateParams{CPU: &two, Entrypoint: []string{"serve"}})
	if snap.Next != nil || snap.Resources.CPU != 2 || snap.Entrypoint[0] != "serve" {
		t.Errorf("%+v", snap)
	}
	if snap = update(t, s, organization, "app", snapshot.CreateParams{Entrypoint: []string{}}); snap.Entrypoint[0] != "sleep" {
		t.Errorf("%+v", snap)
	}
}
