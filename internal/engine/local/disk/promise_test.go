package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
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

// sum is what all disks may hold together.
func (p *btrfs) sum(t *testing.T) (sum int64) {
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
				if now := float64(p.sum(t)); refused && now > total*c.times {
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
