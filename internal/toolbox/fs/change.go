package fs

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

func (s *Service) folder(w http.ResponseWriter, r *http.Request) error {
	path, err := s.path(r, "path")
	if err != nil {
		return err
	}
	text := r.URL.Query().Get("mode")
	if text == "" {
		text = "755"
	}
	perm, err := mode(text)
	if err != nil {
		return err
	}
	u, err := s.launcher.User()
	if err != nil {
		return err
	}
	if err := launch.MkdirAll(path, perm, u); err != nil {
		return err
	}
	if err := os.Chmod(path, perm); err != nil { // past the umask, and for one that exists
		return err
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (s *Service) remove(w http.ResponseWriter, r *http.Request) error {
	path, err := s.path(r, "path")
	if err != nil {
		return err
	}
	recursive := false
	if text := r.URL.Query().Get("recursive"); text != "" {
		if recursive, err = strconv.ParseBool(text); err != nil {
			return wire.Bad("recursive must be true or false, not %q", text)
		}
	}
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return err
	case path == "/":
		return wire.Bad("the root directory cannot be deleted")
	case info.IsDir() && !recursive:
		return wire.Bad("%s is a directory: to delete it with all its contents, say recursive=true", path)
	case info.IsDir():
		err = os.RemoveAll(path)
	default:
		err = os.Remove(path)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// move renames, and copies where the kernel cannot rename: to another file
// system, or a directory that is still in a lower layer of the root's overlay.
func (s *Service) move(w http.ResponseWriter, r *http.Request) error {
	from, err := s.path(r, "source")
	if err != nil {
		return err
	}
	to, err := s.path(r, "destination")
	if err != nil {
		return err
	}
	if _, err := os.Lstat(from); err != nil {
		return err
	}
	if _, err := os.Lstat(to); err == nil {
		return wire.Errorf(http.StatusConflict, wire.Conflict, "%s already exists: delete it first or choose another destination", to)
	}
	if _, err := os.Stat(filepath.Dir(to)); err != nil {
		return err
	}
	err = os.Rename(from, to)
	if errors.Is(err, syscall.EXDEV) {
		if err = copyTree(r.Context(), from, to); err != nil {
			_ = os.RemoveAll(to) // the source is whole
		} else {
			err = os.RemoveAll(from)
		}
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Service) permissions(w http.ResponseWriter, r *http.Request) error {
	path, err := s.path(r, "path")
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil {
		return err
	}
	query := r.URL.Query()
	uid, gid := -1, -1
	if name := query.Get("owner"); name != "" {
		n, err := s.launcher.IDs.UID(name)
		if err != nil {
			return wire.Bad("%v", err)
		}
		uid = int(n)
	}
	if name := query.Get("group"); name != "" {
		n, err := s.launcher.IDs.GID(name)
		if err != nil {
			return wire.Bad("%v", err)
		}
		gid = int(n)
	}
	var perm os.FileMode
	text := query.Get("mode")
	if text != "" {
		if perm, err = mode(text); err != nil {
			return err
		}
	}
	if uid >= 0 || gid >= 0 {
		if err := os.Chown(path, uid, gid); err != nil {
			return err
		}
	}
	if text != "" { // after chown, which clears the set-id bits
		if err := os.Chmod(path, perm); err != nil {
			return err
		}
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
