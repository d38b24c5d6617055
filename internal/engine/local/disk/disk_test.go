package disk

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/test/loopfs"
)

func openPool(t *testing.T, dir string) Pool {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test mounts and must run as root")
	}
	p, err := Open(t.Context(), Config{Dir: filepath.Join(dir, "pool"), Size: 2 << 30, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDiskHoldsItsLimitAndNoMore(t *testing.T) {
	p := openPool(t, t.TempDir())
	defer closePool(t, p)
	if p.Kind() != "btrfs" {
		t.Fatalf("the pool is %s", p.Kind())
	}
	if err := p.Create("a", 16<<20); err != nil {
		t.Fatal(err)
	}
	write := func(name string, size int) error {
		f, err := os.Create(filepath.Join(p.Path("a"), Upper, name))
		if err != nil {
			return err
		}
		_, err = f.Write(bytes.Repeat([]byte{7}, size))
		return errors.Join(err, f.Sync(), f.Close())
	}
	if err := write("fits", 8<<20); err != nil {
		t.Fatal(err)
	}
	if err := write("too-big", 32<<20); !errors.Is(err, unix.EDQUOT) {
		t.Errorf("writing over the limit: %v", err)
	}
	if used, err := p.Used("a"); err != nil || used < 8<<20 || used > 17<<20 {
		t.Errorf("used %d, %v", used, err)
	}
	if err := p.Create("a", 64<<20); err != nil {
		t.Fatal("raise the limit:", err)
	}
	if err := write("fits-now", 24<<20); err != nil {
		t.Error("after raising the limit:", err)
	}
}

func TestPoolIsFoundAgainAndLeavesNothingMounted(t *testing.T) {
	dir := t.TempDir()
	p := openPool(t, dir)
	if err := p.Create("kept", 16<<20); err != nil {
		t.Fatal(err)
	}
	// As after kill -9: opened again while it is mounted.
	again := openPool(t, dir)
	if ids, err := again.List(); err != nil || !slices.Equal(ids, []string{"kept"}) {
		t.Errorf("found %v, %v", ids, err)
	}
	closePool(t, again)
	third := openPool(t, dir)
	for range 2 {
		if err := third.Delete("kept"); err != nil {
			t.Error(err)
		}
	}
	if ids, err := third.List(); err != nil || len(ids) != 0 {
		t.Errorf("after delete: %v, %v", ids, err)
	}
	closePool(t, third)
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), dir) {
		t.Error("the pool is still mounted")
	}
}

func closePool(t *testing.T, p Pool) {
	t.Helper()
	if err := p.Close(false); err != nil {
		t.Error(err)
	}
}

func TestALeftoverThatCannotBeRemovedKeepsNoPoolFromOpening(t *testing.T) {
	for name, open := range map[string]func(dir string) Pool{
		"btrfs": func(dir string) Pool { return openPool(t, dir) },
		"plain": func(dir string) Pool {
			p, err := OpenPlain(Config{Dir: filepath.Join(dir, "pool"), Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := loopfs.Mount(t, 4<<30)
			p := open(dir)
			if err := p.Create("kept", 16<<20); err != nil {
				t.Fatal(err)
			}
			left := filepath.Join(p.Path(""), ".new-left") // no subvolume
			file := filepath.Join(left, "file")
			if err := errors.Join(os.Mkdir(left, 0o700), os.WriteFile(file, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
			immutable := func(flag string) error { return exec.Command("chattr", flag+"i", file).Run() }
			if err := immutable("+"); err != nil {
				t.Fatal(err)
			}
			again := open(dir)
			if ids, err := again.List(); err != nil || !slices.Equal(ids, []string{"kept"}) {
				t.Errorf("found %v, %v", ids, err)
			}
			if err := immutable("-"); err != nil {
				t.Error(err)
			}
			closePool(t, again)
		})
	}
}
