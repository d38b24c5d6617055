package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/oci"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// unwell are images of which some registries do not answer, and whose store fails
// some more times.
type unwell struct {
	*images
	silent   atomic.Int32 // pulls that wait for an answer
	owners   atomic.Int32
	releases atomic.Int32
}

func (u *unwell) Pull(ctx context.Context, organization, ref, owner string, progress func(string)) (*oci.Image, error) {
	if strings.HasPrefix(ref, "silent") {
		u.silent.Add(1)
		defer u.silent.Add(-1)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return u.images.Pull(ctx, organization, ref, owner, progress)
}

func (u *unwell) Owners(ctx context.Context) (map[string]string, error) {
	if u.owners.Add(-1) >= 0 {
		return nil, errors.New("the image store is busy")
	}
	return u.images.Owners(ctx)
}

func (u *unwell) Release(ctx context.Context, owner string) error {
	if u.releases.Add(-1) >= 0 {
		return errors.New("the image store is busy")
	}
	return u.images.Release(ctx, owner)
}

func TestSilentRegistriesDelayNoRemovalNoBuildAndNobodyElsesPull(t *testing.T) {
	made := &unwell{images: &images{held: map[string]string{}}}
	s, _, organization := serviceWith(t, made, made.images, 100, 1)
	removed := create(t, s, organization, "removed", false)
	deactivated := create(t, s, organization, "deactivated", false)
	const registries = 8
	for i := range registries * 3 {
		if _, err := s.Create(t.Context(), organization, false, snapshot.CreateParams{
			Name: fmt.Sprint("silent-", i), ImageName: fmt.Sprintf("silent%d.example/app:%d", i%registries, i),
		}); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(10 * time.Second); made.silent.Load() < 16; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d pulls wait for an answer", made.silent.Load())
		}
	}
	began := time.Now()
	if err := s.Delete(t.Context(), organization, removed.Name, false); err != nil {
		t.Fatal(err)
	}
	reachGone(t, s, organization, removed.Name)
	if err := s.Deactivate(t.Context(), organization, deactivated.Name, false); err != nil {
		t.Fatal(err)
	}
	if snap := settle(t, s, build(t, s, organization, "built", "FROM a:1")); snap.State != snapshot.StateActive {
		t.Errorf("the build is %+v", snap)
	}
	another, err := s.Create(t.Context(), "", true, snapshot.CreateParams{Name: "another", ImageName: "a:1", RegionID: "us"})
	if err != nil {
		t.Fatal(err)
	}
	if another = settle(t, s, another); another.State != snapshot.StateActive {
		t.Errorf("another's pull is %+v", another)
	}
	// One that waits for its registry, and one that waits for its turn.
	for _, name := range []string{"silent-0", "silent-23"} {
		if err := s.Delete(t.Context(), organization, name, false); err != nil {
			t.Fatal(err)
		}
		reachGone(t, s, organization, name)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if n := made.silent.Load(); n != 16 {
		t.Errorf("%d pulls of one organization go on", n)
	}
}

func TestResumeWaitsForTheImageStoreAndGoesOnFromTheRows(t *testing.T) {
	made := &unwell{images: &images{held: map[string]string{}}}
	made.owners.Store(1)
	made.held["sandboxes-of/sha256:old"] = "sha256:old"
	made.held["snapshot/whose"] = "sha256:whose"
	s, _, organization := serviceWith(t, made, made.images, 5, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Resume(ctx); err != nil || made.owners.Load() >= 0 {
		t.Errorf("resumed after %d more failures: %v", made.owners.Load()+1, err)
	}
	for end := time.Now().Add(10 * time.Second); made.holds("sha256:old"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("an image that no sandbox stands on stays")
		}
	}
	if !made.holds("sha256:whose") {
		t.Error("an image that no row knows went, although it is not the server's to delete")
	}
	create(t, s, organization, "next", false)
}

func TestTheImageOfARemovedSandboxIsReleasedAfterAFailure(t *testing.T) {
	made := &unwell{images: &images{held: map[string]string{}}}
	s, _, _ := serviceWith(t, made, made.images, 5, 1)
	if err := s.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.KeepImage(t.Context(), "sha256:1"); err != nil {
		t.Fatal(err)
	}
	made.releases.Store(1)
	s.FreeImage("sha256:1")
	for end := time.Now().Add(10 * time.Second); made.holds("sha256:1"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("its image stays")
		}
	}
	if made.releases.Load() >= 0 {
		t.Error("no release has failed")
	}
}
