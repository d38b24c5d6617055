package disk

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/test/loopfs"
)

// fill leaves about so many bytes of the filesystem at dir free, exactly none
// for 0.
func fill(t *testing.T, dir string, leave int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	room, err := spare(f, leave)
	if err != nil {
		t.Fatal(err)
	}
	if err := allocate(f, room); err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if leave > 0 {
		return f
	}
	for block, at := make([]byte, 4096), room; ; at += 4096 {
		if _, err := f.WriteAt(block, at); errors.Is(err, unix.ENOSPC) {
			return f
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func openSmall(t *testing.T, at string, size int64) Pool {
	t.Helper()
	p, err := Open(t.Context(), Config{Dir: filepath.Join(at, "pool"), Size: size, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// synced writes a file and waits until it is on the disk.
func synced(path string, size int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(bytes.Repeat([]byte{7}, size)); err != nil {
		return err
	}
	return f.Sync()
}

func TestAPoolHasItsSpaceWhenTheFilesystemBelowIsFull(t *testing.T) {
	at := loopfs.Mount(t, 2<<30)
	p := openSmall(t, at, 1<<30)
	defer func() { closePool(t, p) }()
	if err := p.Create("a", 900<<20); err != nil {
		t.Fatal(err)
	}
	defer fill(t, at, 0).Close()
	if err := synced(filepath.Join(p.Path("a"), Upper, "first"), 600<<20); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(p.Path("a"), Upper, "first")); err != nil {
		t.Fatal(err)
	}
	// What is deleted stays the pool's, whoever discards it.
	_ = exec.Command("fstrim", p.Path("a")).Run() // may be refused
	if err := syncAll(p.Path("a")); err != nil {
		t.Fatal(err)
	}
	closePool(t, p)
	p = openSmall(t, at, 1<<30)
	// btrfs takes a moment to give what was deleted to what needs it.
	second := filepath.Join(p.Path("a"), Upper, "second")
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		err := synced(second, 500<<20)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.ENOSPC) || time.Now().After(end) {
			t.Fatal(err)
		}
	}
	if p.Failed() {
		t.Error("the pool has become read-only")
	}
	if err := p.Delete("a"); err != nil {
		t.Error(err)
	}
}

func syncAll(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// sparse makes a pool as servers did that allocated nothing.
func sparse(t *testing.T, at string, size int64) string {
	t.Helper()
	dir := filepath.Join(at, "pool")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pool.btrfs")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.btrfs", "-q", "-m", "single", "-d", "single", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

func TestASparsePoolIsAllocatedOrMadeAsLargeAsThereIsRoom(t *testing.T) {
	for name, c := range map[string]struct{ size, free int64 }{
		"there is room":    {1 << 30, 1500 << 20},
		"there is too few": {4 << 30, 1000 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			at := loopfs.Mount(t, 2<<30)
			file := sparse(t, at, c.size)
			fill(t, at, c.free).Close()
			p := openSmall(t, at, c.size)
			defer closePool(t, p)
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			missing, size, err := lacking(f)
			if err != nil || missing != 0 {
				t.Errorf("%d of %d MiB are missing, %v", missing>>20, size>>20, err)
			}
			var st unix.Statfs_t
			if err := unix.Statfs(p.Path(""), &st); err != nil {
				t.Fatal(err)
			}
			if total := int64(st.Blocks) * st.Bsize; total > size || size > c.size || size < c.size && size < c.free*8/10 {
				t.Errorf("a pool of %d MiB in a file of %d MiB, %d were free", total>>20, size>>20, c.free>>20)
			}
			if err := p.Create("a", 512<<20); err != nil {
				t.Fatal(err)
			}
			if err := synced(filepath.Join(p.Path("a"), Upper, "x"), 400<<20); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAFailedPoolComesBackWithWhatWasSynced(t *testing.T) {
	at := loopfs.Mount(t, 2<<30)
	p := openSmall(t, at, 1<<30)
	defer func() { closePool(t, p) }()
	if err := p.Create("a", 900<<20); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(p.Path("a"), Upper, "kept")
	if err := synced(kept, 1<<20); err != nil {
		t.Fatal(err)
	}
	// Take the space away from below it, as only somebody else can.
	file := filepath.Join(at, "pool", "pool.btrfs")
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, size, err := lacking(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := syncAll(p.Path("a")); err != nil {
		t.Fatal(err)
	}
	const step = 64 << 10
	for at := int64(0); at < size; at += step {
		data, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if err == nil && data < at+step {
			continue // it holds something
		}
		if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, step); err != nil {
			t.Fatal(err)
		}
	}
	filler := fill(t, at, 0)
	defer filler.Close()
	for i := 0; !p.Failed(); i++ {
		if i == 50 {
			t.Fatal("the pool does not fail, so this test shows nothing")
		}
		for n := range 500 {
			_ = os.WriteFile(filepath.Join(p.Path("a"), Upper, fmt.Sprintf("%d-%d", i, n)), []byte("x"), 0o600)
		}
		_ = syncAll(p.Path("a"))
	}
	if err := os.Remove(filler.Name()); err != nil {
		t.Fatal(err)
	}
	filler.Close()
	if err := p.Revive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.Failed() {
		t.Fatal("it is still read-only")
	}
	if b, err := os.ReadFile(kept); err != nil || len(b) != 1<<20 {
		t.Errorf("the synced file has %d bytes, %v", len(b), err)
	}
	if err := synced(filepath.Join(p.Path("a"), Upper, "again"), 600<<20); err != nil {
		t.Error(err)
	}
}
