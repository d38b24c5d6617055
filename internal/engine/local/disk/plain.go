package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/durable"
)

// plain keeps each disk in a directory. Nothing limits it.
type plain struct{ rooms }

// OpenPlain opens a pool of plain directories.
func OpenPlain(c Config) (Pool, error) {
	r, err := makeRooms(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("open disk pool: %w", err)
	}
	p := &plain{r}
	entries, err := os.ReadDir(p.disks)
	if err != nil {
		return nil, fmt.Errorf("open disk pool: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			if err := os.RemoveAll(filepath.Join(p.disks, e.Name())); err != nil {
				c.Logger.Error("remove a disk that is half made or half removed, which the next start of the server tries again", "err", err)
			}
		}
	}
	if err := p.dropStrayRecords(c.Logger); err != nil {
		return nil, fmt.Errorf("open disk pool: %w", err)
	}
	return p, nil
}

func (p *plain) Kind() string     { return "plain directories, without limits" }
func (p *plain) Close(bool) error { return nil }
func (p *plain) Failed() bool     { return readOnly(p.disks) }

// Revive implements Pool.
func (p *plain) Revive(context.Context) error {
	return fmt.Errorf("the filesystem of %s is read-only, and it is not the server's to mount anew", p.disks)
}

func (p *plain) Create(id string, _ int64) error {
	if p.Exists(id) {
		return nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(p.disks, &st); err == nil && int64(st.Bavail)*st.Bsize < reserve {
		return fmt.Errorf("create disk %s: %w", id, ErrFull)
	}
	tmp := filepath.Join(p.disks, ".new-"+id)
	err := os.RemoveAll(tmp)
	for _, name := range []string{Upper, Work, Data} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(tmp, name), 0o755))
	}
	if err == nil {
		err = os.Rename(tmp, p.Path(id))
	}
	if err != nil {
		return fmt.Errorf("create disk %s: %w", id, err)
	}
	return nil
}

func (p *plain) Used(id string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(p.Path(id), func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				sum += st.Blocks * 512
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // files may go while we look
		return 0, fmt.Errorf("use of disk %s: %w", id, err)
	}
	return sum, nil
}

// Limit implements Pool: there is none.
func (p *plain) Limit(string) (int64, error) { return 0, nil }

func (p *plain) Delete(id string) error { return p.remove(p.disks, id) }

func (p *plain) DeleteAside(id string) error { return p.remove(p.aside, id) }

func (p *plain) remove(room, id string) error {
	gone := filepath.Join(p.disks, ".gone-"+id)
	err := durable.Rename(filepath.Join(room, id), gone)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		err = os.RemoveAll(gone)
	}
	if err == nil {
		err = p.dropRecord(id)
	}
	if err != nil {
		return fmt.Errorf("delete disk %s: %w", id, err)
	}
	return nil
}
