package instance

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
)

// alone makes a test independent of the servers on this machine and of other tests.
func alone(t *testing.T) {
	names = fmt.Sprintf("@daytona/%s/%d/", t.TempDir(), os.Getpid())
}

func idle(int) bool { return false }

func TestServersWithDifferentRuntimeDirectoriesGetDifferentIndexes(t *testing.T) {
	alone(t)
	first, second := t.TempDir(), t.TempDir()
	a, err := Claim(first, "/data/a", idle)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Claim(second, "/data/b", idle)
	if err != nil {
		t.Fatal(err)
	}
	if a.Index == b.Index {
		t.Fatalf("both got %d", a.Index)
	}
	// An index that was idle between two starts may belong to another by then.
	if err := a.Release(false); err != nil {
		t.Fatal(err)
	}
	c, err := Claim(second, "/data/c", idle)
	if err != nil || c.Index != a.Index {
		t.Fatalf("claimed %+v, %v; want index %d", c, err, a.Index)
	}
	again, err := Claim(first, "/data/a", idle)
	if err != nil || again.Index == b.Index || again.Index == c.Index {
		t.Fatalf("claimed %+v, %v; the others have %d and %d", again, err, b.Index, c.Index)
	}
	if owners, err := Owners(first); err != nil || !slices.Equal(owners, []string{"/data/a"}) {
		t.Errorf("owners: %q, %v", owners, err)
	}
	for _, in := range []*Instance{again, b, c} {
		if err := in.Release(true); err != nil {
			t.Error(err)
		}
	}
}

func TestADataDirectoryKeepsItsIndex(t *testing.T) {
	alone(t)
	dir := t.TempDir()
	a, err := Claim(dir, "/data/a", idle)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Claim(dir, "/data/b", idle)
	if err != nil {
		t.Fatal(err)
	}
	if a.Index == b.Index {
		t.Fatalf("both got %d", a.Index)
	}
	if owners, err := Owners(dir); err != nil || !slices.Equal(owners, []string{"/data/a", "/data/b"}) {
		t.Errorf("owners: %q, %v", owners, err)
	}
	if owners, err := Owners(t.TempDir()); err != nil || len(owners) > 0 {
		t.Errorf("owners where nobody was: %q, %v", owners, err)
	}
	if _, err := Claim(dir, "/data/b", idle); !errors.Is(err, ErrInUse) {
		t.Errorf("a second server on one data directory: %v", err)
	}
	// As after kill -9: the lock is gone, the file stays.
	if err := b.Release(false); err != nil {
		t.Fatal(err)
	}
	again, err := Claim(dir, "/data/b", idle)
	if err != nil || again.Index != b.Index {
		t.Errorf("claimed again: %+v, %v; want index %d", again, err, b.Index)
	}
}

func TestAnIndexThatIsForgottenIsFree(t *testing.T) {
	alone(t)
	dir := t.TempDir()
	if _, there, err := Find(dir, "/data/a"); there || err != nil {
		t.Errorf("found where nobody was: %v", err)
	}
	if err := Forget(dir, "/data/a"); err != nil {
		t.Error(err)
	}
	a, err := Claim(dir, "/data/a", idle)
	if err != nil {
		t.Fatal(err)
	}
	if err := Forget(dir, "/data/a"); !errors.Is(err, ErrInUse) {
		t.Errorf("forgotten while its server runs: %v", err)
	}
	if i, there, err := Find(dir, "/data/a"); i != a.Index || !there || err != nil {
		t.Errorf("found %d, %v, %v", i, there, err)
	}
	if err := a.Release(false); err != nil {
		t.Fatal(err)
	}
	if err := Forget(dir, "/data/a"); err != nil {
		t.Error(err)
	}
	if _, there, _ := Find(dir, "/data/a"); there {
		t.Error("it is still there")
	}
}

func TestABusyIndexIsNotGivenAway(t *testing.T) {
	alone(t)
	dir := t.TempDir()
	left, err := Claim(dir, "/data/left", idle)
	if err != nil {
		t.Fatal(err)
	}
	if err := left.Release(false); err != nil {
		t.Fatal(err)
	}
	busy := func(i int) bool { return i == left.Index }
	got := make(map[int]bool)
	for i := range Max - 1 {
		in, err := Claim(dir, "/data/"+string(rune('a'+i)), busy)
		if err != nil {
			t.Fatal(err)
		}
		if in.Index == left.Index || got[in.Index] {
			t.Fatalf("index %d was given away", in.Index)
		}
		got[in.Index] = true
	}
	if _, err := Claim(dir, "/data/one-too-many", busy); err == nil {
		t.Error("a claim beyond the last index succeeded")
	}
	// Once nothing of it runs, its index is free for another.
	if in, err := Claim(dir, "/data/one-too-many", idle); err != nil || in.Index != left.Index {
		t.Errorf("claimed %+v, %v", in, err)
	}
}
