package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/test/loopfs"
)

// write puts so many bytes into a new file of the disk, down to the device.
func write(p Pool, id, name string, size int) error {
	f, err := os.Create(filepath.Join(p.Path(id), Upper, name))
	if err != nil {
		return err
	}
	_, err = f.Write(bytes.Repeat([]byte{7}, size))
	return errors.Join(err, f.Sync(), f.Close())
}

func TestTheDisksOfAGroupShareALimit(t *testing.T) {
	dir := t.TempDir()
	p := openPool(t, dir)
	for group, limit := range map[string]int64{"red": 32 << 20, "blue": 32 << 20} {
		if _, err := p.Bound(group, limit); err != nil {
			t.Fatal(err)
		}
		for _, n := range []string{"1", "2", "3"} {
			if err := p.CreateIn(group, group+n, 24<<20); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := write(p, "red1", "too-much-for-the-disk", 30<<20); !errors.Is(err, unix.EDQUOT) {
		t.Errorf("over the limit of the disk: %v", err)
	}
	if err := os.Remove(filepath.Join(p.Path("red1"), Upper, "too-much-for-the-disk")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(write(p, "red1", "a", 16<<20), write(p, "red2", "a", 8<<20)); err != nil {
		t.Fatal(err)
	}
	// As after kill -9: opened again while it is mounted.
	p = openPool(t, dir)
	defer closePool(t, p)
	if err := write(p, "red3", "a", 16<<20); !errors.Is(err, unix.EDQUOT) {
		t.Errorf("over the limit of the group: %v", err)
	}
	if used, err := p.GroupUsed("red"); err != nil || used < 24<<20 || used > 33<<20 {
		t.Errorf("the group takes %d, %v", used, err)
	}
	if err := write(p, "blue1", "a", 16<<20); err != nil {
		t.Errorf("another group: %v", err)
	}
	for n := range 3 {
		if err := p.Delete(fmt.Sprintf("red%d", n+1)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	if err := p.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	t.Log("settled", time.Since(began))
	if err := p.CreateIn("red", "red4", 24<<20); err != nil {
		t.Fatal(err)
	}
	if err := write(p, "red4", "a", 16<<20); err != nil {
		t.Errorf("what was deleted still counts: %v", err)
	}
	if _, err := p.Bound("red", 4<<20); err != nil {
		t.Fatal(err)
	}
	if err := write(p, "red4", "b", 4<<20); !errors.Is(err, unix.EDQUOT) {
		t.Errorf("over a lower limit of the group: %v", err)
	}
}

// Files take space even when they are empty: a disk's limit bounds their number,
// and none of them is an inode of the filesystem below the pool.
func TestEmptyFilesAreBounded(t *testing.T) {
	dir := loopfs.Mount(t, 3<<30) // whose inodes nobody else takes
	p := openPool(t, dir)
	defer closePool(t, p)
	if _, err := p.Bound("red", 64<<20); err != nil {
		t.Fatal(err)
	}
	if err := p.CreateIn("red", "a", 8<<20); err != nil {
		t.Fatal(err)
	}
	var before, after unix.Statfs_t
	if err := unix.Statfs(dir, &before); err != nil {
		t.Fatal(err)
	}
	n, err := 0, error(nil)
	for ; n < 200_000 && err == nil; n++ {
		var f *os.File
		if f, err = os.Create(filepath.Join(p.Path("a"), Upper, fmt.Sprintf("a-name-of-usual-length-%d", n))); err == nil {
			f.Close()
		}
	}
	if !errors.Is(err, unix.EDQUOT) {
		t.Errorf("after %d files: %v", n, err)
	}
	if err := unix.Statfs(dir, &after); err != nil || int64(before.Ffree)-int64(after.Ffree) > 100 {
		t.Errorf("%d inodes of the filesystem below are gone, %v", int64(before.Ffree)-int64(after.Ffree), err)
	}
	t.Log(n)
}
