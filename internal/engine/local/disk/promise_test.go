package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func openOversubscribed(t testing.TB, c Config) *btrfs {
	t.Helper()
	c.Dir, c.Logger = filepath.Join(t.TempDir(), "pool"), slog.New(slog.DiscardHandler)
	p, err := Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(false); err != nil {
			t.Error(err)
		}
	})
	b, ok := p.(*btrfs)
	if !ok {
		t.Fatalf("the pool is %s", p.Kind())
	}
	return b
}

// limits is what all disks may hold together.
func (p *btrfs) limits(t *testing.T) (sum int64) {
	t.Helper()
	ids, err := p.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		n, err := p.Limit(id)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

func TestDisksMayBePromisedMoreThanThePoolHasUnlessThatIsBounded(t *testing.T) {
	const size = 1 << 30
	noHold := func() (func(), error) { return func() {}, nil }
	for name, c := range map[string]struct {
		times float64
		fit   int // disks of 400 MiB
	}{
		"by default":           {0, 10}, // that many are tried
		"not at all":           {1, 2},
		"one and a half times": {1.5, 3},
		"a tenth more":         {1.1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			p := openOversubscribed(t, Config{Size: size, Oversubscribe: c.times})
			const limit = 400 << 20
			made := 0
			for made < 10 {
				err := p.Create(fmt.Sprint(made), limit)
				if errors.Is(err, ErrFull) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				made++
			}
			if made != c.fit {
				t.Fatalf("%d disks were made, want %d", made, c.fit)
			}
			var st unix.Statfs_t
			if err := unix.Statfs(p.disks, &st); err != nil {
				t.Fatal(err)
			}
			total := float64(int64(st.Blocks) * st.Bsize)
			refused := c.times > 0
			if refused && p.Exists(fmt.Sprint(made)) {
				t.Error("the refused disk is there")
			}
			full := func(what string, err error) {
				t.Helper()
				if errors.Is(err, ErrFull) != refused || err != nil && !refused {
					t.Errorf("%s: %v", what, err)
				}
				if now := float64(p.limits(t)); refused && now > total*c.times {
					t.Errorf("after %s, %.2f times the pool is promised", what, now/total)
				}
			}
			full("a fork", p.Copy(t.Context(), "0", "fork", limit, noHold))
			full("a larger limit", p.Resize("0", 800<<20))
			full("a larger limit by a start", p.Create("1", 900<<20))
			// What counts against it is promises: a copy that is only read has none,
			// and a lower limit gives some back.
			if err := p.Copy(t.Context(), "0", "capture", 0, noHold); err != nil {
				t.Error("a capture:", err)
			}
			if err := p.Resize("0", 64<<20); err != nil {
				t.Error("a lower limit:", err)
			}
			if err := p.Create("smaller", 100<<20); err != nil {
				t.Error("what was given back:", err)
			}
			for _, id := range []string{"smaller", "1"} {
				if err := p.Delete(id); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Create("another", limit); err != nil {
				t.Error("in the place of a deleted one:", err)
			}
			if err := p.Resize("1", limit); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("of a disk that is not there: %v", err)
			}
		})
	}
}

// What a group may take is promised once, for all disks in it.
func TestTheDisksOfAGroupArePromisedTogether(t *testing.T) {
	p := openOversubscribed(t, Config{Size: 1 << 30, Oversubscribe: 1})
	bound := func(group string, limit, want int64) {
		t.Helper()
		if inForce, err := p.Bound(group, limit); err != nil || inForce != want {
			t.Errorf("the limit of %s is %d MiB, %v; want %d MiB", group, inForce>>20, err, want>>20)
		}
	}
	fits := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	full := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrFull) {
			t.Errorf("%s: %v", what, err)
		}
	}
	const mib = 1 << 20
	bound("builds", 600*mib, 600*mib)
	bound("idle", 900*mib, 900*mib) // a group without disks promises nothing

	fits("the first disk of the group", p.CreateIn("builds", "b1", 300*mib))
	fits("a disk beside what the group has", p.Create("s1", 400*mib))
	fits("the group up to its limit", p.CreateIn("builds", "b2", 300*mib))
	fits("the group beyond it, which its limit keeps", p.CreateIn("builds", "b3", 300*mib))
	fits("a larger disk in the full group", p.Resize("b3", 600*mib))

	full("a disk beside the whole group", p.Create("s2", 200*mib))
	full("a larger disk", p.Resize("s1", 500*mib))
	full("a disk in another group", p.CreateIn("idle", "i1", 200*mib))
	bound("builds", 800*mib, 600*mib)
	bound("builds", 0, 600*mib)
	if p.Exists("s2") || p.Exists("i1") {
		t.Error("a refused disk is there")
	}

	// As after kill -9: the kernel knows who is in which group.
	again, err := Open(t.Context(), p.config)
	if err != nil {
		t.Fatal(err)
	}
	full("after the pool was opened again", again.Create("s2", 200*mib))

	bound("builds", 400*mib, 400*mib)
	fits("what a lower limit gave back", p.Create("s2", 200*mib))
	full("a disk more", p.Create("s3", 200*mib))
	for _, id := range []string{"b1", "b2", "b3"} {
		fits("delete", p.Delete(id))
	}
	fits("in the place of the group's deleted disks", p.Create("s3", 300*mib))
	bound("builds", 900*mib, 900*mib)
	full("a disk in a group that was given more than there is", p.CreateIn("builds", "b4", 300*mib))
	if err := p.CreateIn("nobody-bounded", "b4", 10*mib); err == nil || p.Exists("b4") {
		t.Errorf("in a group that is not there: %v", err)
	}
}

// More than one answer of the kernel's search holds.
func TestAllDisksOfManyGroupsAreFound(t *testing.T) {
	p := openOversubscribed(t, Config{Size: 2 << 30})
	dir, err := os.Open(p.disks)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	want := make(map[uint64]uint64)
	for i := range 300 {
		group, id := fmt.Sprint("group-", i%7), fmt.Sprint("disk-", i)
		if i < 7 {
			if _, err := p.Bound(group, 1<<30); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(p.CreateIn(group, id, 1<<20), p.Create("alone-"+id, 1<<20)); err != nil {
			t.Fatal(err)
		}
		sub, err := subvolumeID(p.Path(id))
		if err != nil {
			t.Fatal(err)
		}
		want[sub] = groupID(group)
	}
	got, err := memberships(dir)
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%d of %d disks were found in their groups, %v", len(got), len(want), err)
	}
}

// BenchmarkCreate is what the space of a disk costs its creation: a pool that is
// allocated beside one that takes what is written, and the bound on promises with
// few disks and with many.
func BenchmarkCreate(b *testing.B) {
	for _, c := range []struct {
		name   string
		config Config
		others int
	}{
		{"sparse", Config{Sparse: true}, 0},
		{"allocated", Config{}, 0},
		{"bounded", Config{Oversubscribe: 1000}, 0},
		{"allocated beside 200", Config{}, 200},
		{"bounded beside 200", Config{Oversubscribe: 1000}, 200},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.config.Size = 2 << 30
			p := openOversubscribed(b, c.config)
			for i := range c.others {
				if err := p.Create(fmt.Sprintf("other-%d", i), 1<<30); err != nil {
					b.Fatal(err)
				}
			}
			for i := 0; b.Loop(); i++ {
				id := fmt.Sprint(i)
				if err := p.Create(id, 1<<30); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := p.Delete(id); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
