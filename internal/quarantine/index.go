// Package quarantine keeps what is found on the machine and no row of the
// database knows: disks of sandboxes, copies of disks, images. A database that
// was lost, or restored from an older copy, must cost nobody a file; so nothing
// of it is deleted but by an administrator's word, or after a time of grace. It
// imports packages engine, for the disks, and durable, and nothing else of the project;
// package server wires it. The index here says what is in quarantine and what is asked of
// it, in files that the command reads and writes while a server runs or none
// does; quarantine.go is what the server does.
package quarantine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opendaytona/daytona/internal/durable"
)

// Kind is what an entry is about.
type Kind string

// The kinds.
const (
	KindDisk    Kind = "disk"    // a sandbox's; ID is the sandbox's
	KindCapture Kind = "capture" // the copy of a disk that a snapshot is made of
	KindImage   Kind = "image"   // ID is who held it
	KindFiles   Kind = "files"   // uploads and pushed images: they stay where they are, and nothing of them is collected meanwhile
)

// Entry is one thing in quarantine.
type Entry struct {
	Kind   Kind            `json:"kind"`
	ID     string          `json:"id"`
	Since  time.Time       `json:"since"`
	Image  string          `json:"image,omitempty"`  // digest of the image that is kept for it
	Record json.RawMessage `json:"record,omitempty"` // what was kept beside a disk
	Failed string          `json:"failed,omitempty"` // why the last request could not be met
}

// Request is what an administrator asks of an entry.
type Request struct {
	Purge    bool   `json:"purge,omitempty"`    // delete it for good; otherwise adopt it
	Snapshot string `json:"snapshot,omitempty"` // that an adopted disk is to stand on
}

// Index is a directory of entries. It may not exist, and is empty then.
type Index struct{ Dir string }

const (
	entrySuffix   = ".json"
	requestSuffix = ".request"
	acceptedName  = "new-database" // the next start may go on without the old one
)

func (x Index) file(kind Kind, id, suffix string) string {
	return filepath.Join(x.Dir, string(kind)+"-"+url.PathEscape(id)+suffix)
}

// List returns all entries, the oldest first.
func (x Index) List() ([]Entry, error) {
	files, err := os.ReadDir(x.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list quarantine: %w", err)
	}
	var all []Entry
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), entrySuffix) {
			continue
		}
		var e Entry
		switch err := readJSON(filepath.Join(x.Dir, f.Name()), &e); {
		case errors.Is(err, fs.ErrNotExist): // it has just left
		case err != nil:
			return nil, fmt.Errorf("list quarantine: %w", err)
		default:
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b Entry) int { return a.Since.Compare(b.Since) })
	return all, nil
}

// Has reports whether there is an entry.
func (x Index) Has(kind Kind, id string) bool {
	_, err := os.Stat(x.file(kind, id, entrySuffix))
	return err == nil
}

func (x Index) put(e Entry) error { return x.write(x.file(e.Kind, e.ID, entrySuffix), e) }

func (x Index) remove(e Entry) error {
	for _, suffix := range []string{requestSuffix, entrySuffix} {
		if err := os.Remove(x.file(e.Kind, e.ID, suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget %s %s: %w", e.Kind, e.ID, err)
		}
	}
	return nil
}

// Ask leaves a request for the server that runs, or else for the next one.
func (x Index) Ask(e Entry, r Request) error {
	return x.write(x.file(e.Kind, e.ID, requestSuffix), r)
}

// asked is what is asked of an entry, nil for nothing.
func (x Index) asked(e Entry) (*Request, error) {
	var r Request
	err := readJSON(x.file(e.Kind, e.ID, requestSuffix), &r)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return &r, err
}

// Pending reports whether a request waits to be met.
func (x Index) Pending(e Entry) bool {
	_, err := os.Stat(x.file(e.Kind, e.ID, requestSuffix))
	return err == nil
}

func (x Index) drop(e Entry) error { return os.Remove(x.file(e.Kind, e.ID, requestSuffix)) }

// Accept lets the next start go on with a new database.
func (x Index) Accept(now time.Time) error { return x.write(filepath.Join(x.Dir, acceptedName), now) }

// Accepted reports whether it may.
func (x Index) Accepted() bool {
	_, err := os.Stat(filepath.Join(x.Dir, acceptedName))
	return err == nil
}

// Begun ends what Accept allowed: the new database has begun.
func (x Index) Begun() error {
	if err := os.Remove(filepath.Join(x.Dir, acceptedName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func readJSON(path string, into any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// write replaces a file as a whole.
func (x Index) write(path string, content any) error {
	if err := durable.MkdirAll(x.Dir, 0o700); err != nil {
		return err
	}
	b, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.WriteFile(path, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// HoldsFiles reports whether uploads and pushed images may be what an earlier
// database knew, so that none may be collected.
func (x Index) HoldsFiles() bool { return x.Has(KindFiles, "all") }
