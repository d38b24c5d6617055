package git

import (
	"net/http"
	"os"
	"path/filepath"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// place is where a repository is to be made, and what was there before.
type place struct {
	path  string
	there bool   // it was a directory
	empty bool   // in which nothing was
	first string // the topmost directory that was missing
}

// survey looks at a place for a repository. Errors: 409 when there is one.
func survey(path string) (place, error) {
	p := place{path: path}
	if repo, err := find(path); err != nil {
		return p, err
	} else if repo != nil {
		return p, wire.Errorf(http.StatusConflict, wire.Conflict, "%s is a git repository already: choose another path, or delete it first", path)
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.IsDir():
		return p, wire.Errorf(http.StatusConflict, wire.Conflict, "%s is there already and is not a directory: choose another path, or delete it first", path)
	case err == nil:
		entries, err := os.ReadDir(path)
		if err != nil {
			return p, err
		}
		p.there, p.empty = true, len(entries) == 0
		return p, nil
	case !isMissing(err):
		return p, err
	}
	if _, err := os.Lstat(path); err == nil {
		return p, wire.Errorf(http.StatusConflict, wire.Conflict, "%s is a link to nothing: choose another path, or delete it first", path)
	}
	p.first = path
	for parent := filepath.Dir(path); ; parent = filepath.Dir(parent) {
		if _, err := os.Lstat(parent); err == nil {
			return p, nil
		}
		p.first = parent
	}
}

// clear removes what was not there before: the repository, and the directories
// made for it as far as nobody else uses them.
func (p place) clear() {
	switch {
	case p.there && !p.empty: // nothing but this can be new
		_ = os.RemoveAll(filepath.Join(p.path, ".git"))
		return
	case p.there:
		entries, _ := os.ReadDir(p.path)
		for _, e := range entries {
			_ = os.RemoveAll(filepath.Join(p.path, e.Name()))
		}
		return
	}
	_ = os.RemoveAll(p.path)
	for dir := p.path; dir != p.first; {
		dir = filepath.Dir(dir)
		if os.Remove(dir) != nil {
			return
		}
	}
}
