package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/oci"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// builder builds what its Dockerfile says: "fail" fails, "wait" goes on until it
// is cancelled, "silent" does so without its place.
type builder struct {
	images *images
	mu     sync.Mutex
	count  int
	bytes  string // of what was uploaded under every hash; "" is nothing
}

func (b *builder) Versions(_ context.Context, organizationID string, contexts []string) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	versions := make([]string, len(contexts))
	for i, hash := range contexts {
		if b.bytes != "" {
			versions[i] = fmt.Sprint(organizationID, hash, b.bytes)
		}
	}
	return versions, nil
}

func (b *builder) upload(bytes string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes = bytes
}

func (b *builder) Build(ctx context.Context, r snapshot.BuildRequest) (*oci.Image, error) {
	b.mu.Lock()
	b.count++
	digest := fmt.Sprintf("sha256:built-%d", b.count)
	b.mu.Unlock()
	fmt.Fprintln(r.Log, "building")
	switch {
	case strings.Contains(r.Build.Dockerfile, "silent"):
		r.Place.Leave()
		<-ctx.Done()
		return nil, ctx.Err()
	case strings.Contains(r.Build.Dockerfile, "wait"):
		<-ctx.Done()
		return nil, ctx.Err()
	case strings.Contains(r.Build.Dockerfile, "fail"):
		return nil, errors.New("line 2 is wrong")
	}
	return &oci.Image{Digest: digest, DefaultUser: "root"}, b.images.Hold(ctx, r.Owner, digest)
}

func (b *builder) builds() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count
}

func build(t *testing.T, s *snapshot.Service, organization, name, dockerfile string) *snapshot.Snapshot {
	t.Helper()
	snap, err := s.Create(t.Context(), organization, false, snapshot.CreateParams{Name: name, Build: &snapshot.BuildParams{Dockerfile: dockerfile}})
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func settle(t *testing.T, s *snapshot.Service, snap *snapshot.Snapshot) *snapshot.Snapshot {
	t.Helper()
	snap, err := s.Settle(t.Context(), snap)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func reach(t *testing.T, s *snapshot.Service, organization, name string, want snapshot.State) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		snap, err := s.Get(t.Context(), organization, name)
		if err == nil && snap.State == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is %+v, %v", name, snap, err)
		}
	}
}

func TestTheSameBuildIsDoneOnce(t *testing.T) {
	s, _, images, organization := service(t)
	b := s.Config().Builder.(*builder)
	one, two := build(t, s, organization, "one", "FROM a:1"), build(t, s, organization, "two", "FROM a:1")
	other := build(t, s, organization, "other", "FROM b:1")
	one, two, other = settle(t, s, one), settle(t, s, two), settle(t, s, other)
	if one.State != snapshot.StateActive || two.ImageDigest != one.ImageDigest || other.ImageDigest == one.ImageDigest || b.builds() != 2 {
		t.Errorf("%+v\n%+v\n%+v\n%d builds", one, two, other, b.builds())
	}
	if one.Build.Ref != two.Build.Ref || one.Build.Ref == other.Build.Ref {
		t.Errorf("refs are %s, %s, %s", one.Build.Ref, two.Build.Ref, other.Build.Ref)
	}
	if err := s.Delete(t.Context(), organization, "one", false); err != nil {
		t.Fatal(err)
	}
	reachGone(t, s, organization, "one")
	if !images.holds(two.ImageDigest) {
		t.Error("the image went with the first of two snapshots")
	}
}

func reachGone(t *testing.T, s *snapshot.Service, organization, name string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := s.Get(t.Context(), organization, name); fault.Is(err, fault.KindNotFound) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there", name)
		}
	}
}

func TestAFailedBuildTellsWhyAndItsNameIsFreeAfterDelete(t *testing.T) {
	s, _, _, organization := service(t)
	snap := settle(t, s, build(t, s, organization, "bad", "FROM a:1\nfail"))
	if snap.State != snapshot.StateBuildFailed || snap.ErrorReason != "line 2 is wrong" {
		t.Errorf("%+v", snap)
	}
	if err := s.Delete(t.Context(), organization, "bad", false); err != nil {
		t.Fatal(err)
	}
	if snap := settle(t, s, build(t, s, organization, "bad", "FROM a:1")); snap.State != snapshot.StateActive {
		t.Errorf("%+v", snap)
	}
}

func TestBuildsWaitTheirTurnAndADeletionEndsThem(t *testing.T) {
	s, _, _, organization := service(t)
	long := build(t, s, organization, "long", "FROM a:1\nwait")
	reach(t, s, organization, "long", snapshot.StateBuilding)
	next := build(t, s, organization, "next", "FROM a:1")
	third := build(t, s, organization, "third", "FROM a:2")
	var log bytes.Buffer
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(log.String(), "place 2"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log of the third is %q", log.String())
		}
		log.Reset()
		if err := errors.Join(s.Config().Logs.Copy(t.Context(), &log, next.ID, false), s.Config().Logs.Copy(t.Context(), &log, third.ID, false)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Delete(t.Context(), organization, long.ID, false); err != nil {
		t.Fatal(err)
	}
	if snap := settle(t, s, third); snap.State != snapshot.StateActive {
		t.Errorf("%+v", snap)
	}
	reach(t, s, organization, "next", snapshot.StateActive)
	reachGone(t, s, organization, "long")
}

func TestEqualBuildsTakeOneBuilderAndADeletionEndsTheWaitForAnother(t *testing.T) {
	made := &images{held: map[string]string{}}
	s, _, organization := serviceWith(t, made, made, 5, 2)
	for _, name := range []string{"one", "two", "three"} {
		build(t, s, organization, name, "FROM a:1\nwait")
	}
	other := build(t, s, organization, "other", "FROM a:1")
	if snap := settle(t, s, other); snap.State != snapshot.StateActive {
		t.Errorf("beside equal builds: %+v", snap)
	}
	for _, name := range []string{"two", "three", "one"} {
		if err := s.Delete(t.Context(), organization, name, false); err != nil {
			t.Fatal(err)
		}
		reachGone(t, s, organization, name)
	}
}

func TestBuildsThatLeaveTheirPlaceKeepNobodyWaiting(t *testing.T) {
	s, _, _, organization := service(t)
	silent := build(t, s, organization, "silent", "FROM silent:1")
	reach(t, s, organization, "silent", snapshot.StateBuilding)
	if snap := settle(t, s, build(t, s, organization, "good", "FROM a:1")); snap.State != snapshot.StateActive {
		t.Errorf("%+v", snap)
	}
	if err := s.Delete(t.Context(), organization, silent.ID, false); err != nil {
		t.Fatal(err)
	}
	reachGone(t, s, organization, "silent")
}

func TestSnapshotsOfSandboxesAreFoundAgainAndRemovedWhenUnused(t *testing.T) {
	s, clock, _, organization := service(t)
	params := snapshot.BuildParams{Dockerfile: "FROM a:1"}
	first, err := s.ForBuild(t.Context(), organization, "us", params)
	if err != nil {
		t.Fatal(err)
	}
	first = settle(t, s, first)
	again, err := s.ForBuild(t.Context(), organization, "us", params)
	if err != nil || again.ID != first.ID || !again.Transient {
		t.Errorf("%+v, %v", again, err)
	}
	page, total, err := s.List(t.Context(), snapshot.Filter{OrganizationID: organization, Page: 1, Limit: 10})
	if err != nil || total != 0 || len(page) != 0 {
		t.Errorf("it is listed: %v, %v", page, err)
	}
	clock.Step(25 * time.Hour)
	if err := s.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	reachGone(t, s, organization, first.ID)

	failed, err := s.ForBuild(t.Context(), organization, "us", snapshot.BuildParams{Dockerfile: "FROM a:1\nfail"})
	if err != nil {
		t.Fatal(err)
	}
	settle(t, s, failed)
	another, err := s.ForBuild(t.Context(), organization, "us", snapshot.BuildParams{Dockerfile: "FROM a:1\nfail"})
	if err != nil || another.ID == failed.ID {
		t.Errorf("a failed build is not tried again: %+v, %v", another, err)
	}
	settle(t, s, another)
}

func TestBuildsThatCannotBeAreRefused(t *testing.T) {
	s, _, _, organization := service(t)
	for name, p := range map[string]snapshot.CreateParams{
		"image and build": {Name: "x", ImageName: "a:1", Build: &snapshot.BuildParams{Dockerfile: "FROM a:1"}},
		"no text":         {Name: "x", Build: &snapshot.BuildParams{Dockerfile: " "}},
		"traversal":       {Name: "x", Build: &snapshot.BuildParams{Dockerfile: "FROM a:1", Contexts: []string{"../x"}}},
	} {
		if _, err := s.Create(t.Context(), organization, false, p); !fault.Is(err, fault.KindInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Clients that name their files' context by its path upload other files under the
// same hash.
func TestOtherFilesUnderTheSameHashAreAnotherBuild(t *testing.T) {
	s, _, _, organization := service(t)
	b := s.Config().Builder.(*builder)
	params := snapshot.BuildParams{Dockerfile: "FROM a:1\nCOPY . .", Contexts: []string{"hash"}}
	create := func(name string, make func(context.Context, string, bool, snapshot.CreateParams) (*snapshot.Snapshot, error)) string {
		t.Helper()
		snap, err := make(t.Context(), organization, false, snapshot.CreateParams{Name: name, Build: &params})
		if err != nil {
			t.Fatal(err)
		}
		return settle(t, s, snap).ImageDigest
	}
	update := func(ctx context.Context, organization string, _ bool, p snapshot.CreateParams) (*snapshot.Snapshot, error) {
		return s.Update(ctx, organization, p.Name, false, p)
	}
	replace := func(ctx context.Context, organization string, general bool, p snapshot.CreateParams) (*snapshot.Snapshot, error) {
		return s.CreateOrUpdate(ctx, organization, general, false, p)
	}
	sandboxes := func() string {
		t.Helper()
		snap, err := s.ForBuild(t.Context(), organization, "us", params)
		if err != nil {
			t.Fatal(err)
		}
		return settle(t, s, snap).ImageDigest
	}
	made := map[string]string{} // image by the files it is of
	for n, files := range []string{"first", "second", "first"} {
		b.upload(files)
		for what, got := range map[string]string{
			"a snapshot": create(fmt.Sprint("snapshot-", n), s.Create), "a sandbox": sandboxes(), "an update": create("snapshot-0", update), "a replacement": create("replaced", replace),
		} {
			if want, seen := made[files]; seen && got != want {
				t.Errorf("%s of the %s files has image %s, want %s", what, files, got, want)
			}
			made[files] = got
		}
	}
	if made["first"] == made["second"] || b.builds() != 2 {
		t.Errorf("%d builds: %v", b.builds(), made)
	}
	if err := s.Delete(t.Context(), organization, "snapshot-2", false); err != nil { // for the quota
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), organization, "replaced", false); err != nil {
		t.Fatal(err)
	}
	b.upload("") // nobody knows what will be there when it is built
	if one, two := create("early", s.Create), create("earlier", s.Create); one == two {
		t.Error("two builds of files that are not there yet are taken for the same")
	}
	if snap, err := s.Get(t.Context(), organization, "snapshot-1"); err != nil || len(snap.Build.Versions) != 1 || snap.Build.Versions[0] != organization+"hash"+"second" {
		t.Errorf("the build is %+v, %v", snap.Build, err)
	}
}
