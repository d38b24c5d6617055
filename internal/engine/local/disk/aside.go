package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/opendaytona/daytona/internal/durable"
)

// The rooms of a pool's directory, side by side on one filesystem, so that a
// disk moves from one to another by its name alone.
const (
	disksRoom   = "disks"
	asideRoom   = "aside"   // disks that nobody knows, until somebody does or they are deleted
	recordsRoom = "records" // what the disks' owner wants to know of each when all else is lost
)

// rooms is what both kinds of pool do with names alone.
type rooms struct {
	disks, aside, records string
}

func makeRooms(dir string) (rooms, error) {
	r := rooms{disks: filepath.Join(dir, disksRoom), aside: filepath.Join(dir, asideRoom), records: filepath.Join(dir, recordsRoom)}
	for _, room := range []string{r.disks, r.aside, r.records} {
		if err := durable.MkdirAll(room, 0o700); err != nil {
			return r, err
		}
	}
	return r, nil
}

// Path is Pool's.
func (r rooms) Path(id string) string { return filepath.Join(r.disks, id) }

// Exists is Pool's.
func (r rooms) Exists(id string) bool { return exists(r.Path(id)) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// List is Pool's.
func (r rooms) List() ([]string, error) { return names(r.disks) }

// Aside is Pool's.
func (r rooms) Aside() ([]string, error) { return names(r.aside) }

func names(room string) ([]string, error) {
	entries, err := os.ReadDir(room)
	if err != nil {
		return nil, fmt.Errorf("list disks: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// SetAside is Pool's.
func (r rooms) SetAside(id string) error {
	if err := move(r.Path(id), filepath.Join(r.aside, id)); err != nil {
		return fmt.Errorf("set disk %s aside: %w", id, err)
	}
	return nil
}

// Restore is Pool's.
func (r rooms) Restore(id string) error {
	if err := move(filepath.Join(r.aside, id), r.Path(id)); err != nil {
		return fmt.Errorf("bring disk %s back: %w", id, err)
	}
	return nil
}

// move renames a disk, and takes one that has moved already for moved. It never
// replaces another one.
func move(from, to string) error {
	if exists(to) {
		if exists(from) {
			return fmt.Errorf("there is a %s already: %w", to, fs.ErrExist)
		}
		return nil
	}
	return durable.Rename(from, to)
}

func (r rooms) recordFile(id string) string { return filepath.Join(r.records, id) }

// SetRecord is Pool's.
func (r rooms) SetRecord(id string, record []byte) error {
	if was, err := os.ReadFile(r.recordFile(id)); err == nil && string(was) == string(record) {
		return nil
	}
	var err error
	if r.Exists(id) {
		err = durable.WriteFile(r.recordFile(id), record, 0o600)
	} else { // Sync follows, or the record goes
		err = os.WriteFile(r.recordFile(id), record, 0o600)
	}
	if err != nil {
		return fmt.Errorf("record disk %s: %w", id, err)
	}
	return nil
}

// Sync is Pool's. The directory of the disks is first: to btrfs, that of a new
// subvolume is one with all of its filesystem, and leaves the others nothing to
// do.
func (r rooms) Sync(id string) error {
	err := errors.Join(durable.SyncDir(r.disks), durable.SyncDir(r.Path(id)))
	if exists(r.recordFile(id)) {
		err = errors.Join(err, durable.SyncFile(r.recordFile(id)), durable.SyncDir(r.records))
	}
	if err != nil {
		return fmt.Errorf("sync disk %s: %w", id, err)
	}
	return nil
}

// Record is Pool's.
func (r rooms) Record(id string) ([]byte, error) {
	record, err := os.ReadFile(r.recordFile(id))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the record of disk %s: %w", id, err)
	}
	return record, nil
}

// dropRecord removes the record of a disk that is gone.
func (r rooms) dropRecord(id string) error {
	if r.Exists(id) || exists(filepath.Join(r.aside, id)) {
		return nil
	}
	if err := os.Remove(r.recordFile(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// dropStrayRecords removes the records whose disk a crash left unmade, or
// removed before them.
func (r rooms) dropStrayRecords(log *slog.Logger) error {
	entries, err := os.ReadDir(r.records)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if r.Exists(e.Name()) || exists(filepath.Join(r.aside, e.Name())) {
			continue
		}
		if err := os.Remove(filepath.Join(r.records, e.Name())); err != nil {
			log.Error("remove the record of a disk that is not there", "disk", e.Name(), "err", err)
		}
	}
	return nil
}
