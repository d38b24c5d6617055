package fs

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

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
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	switch err := os.Mkdir(path, perm.Perm()); {
	case err == nil:
		if err := chmodNew(path, perm); err != nil {
			return err
		}
	case !errors.Is(err, os.ErrExist):
		return err
	default: // one that exists stays as it is
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			return wire.Bad("%s already exists and is not a directory: delete it first or choose another path", path)
		}
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

// chmodNew gives a new directory its mode, past the umask. What it has inherited
// of its parent's set-group-ID bit stays, so that its files have its group, too.
func chmodNew(path string, perm os.FileMode) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	perm |= info.Mode() & os.ModeSetgid
	if info.Mode() == os.ModeDir|perm {
		return nil // chmod(2) would take the bit away if the group is not one of the user's
	}
	return os.Chmod(path, perm)
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
	if err := s.removable(path); err != nil {
		return err
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
// What exists at the destination stays: the API has 409 for it.
func (s *Service) move(w http.ResponseWriter, r *http.Request) error {
	from, err := s.path(r, "source")
	if err != nil {
		return err
	}
	to, err := s.path(r, "destination")
	if err != nil {
		return err
	}
	for _, path := range []string{from, to} {
		if err := s.removable(path); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(from); err != nil {
		return err
	}
	occupied := wire.Errorf(http.StatusConflict, wire.Conflict, "%s already exists: delete it first or choose another destination", to)
	if _, err := os.Lstat(to); err == nil {
		return occupied
	}
	if _, err := os.Stat(filepath.Dir(to)); err != nil {
		return err
	}
	err = rename(from, to)
	switch {
	case errors.Is(err, os.ErrExist): // made meanwhile
		return occupied
	case errors.Is(err, syscall.EXDEV):
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

// rename replaces nothing.
func rename(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) { // not every file system can do that
		return os.Rename(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

func (s *Service) permissions(w http.ResponseWriter, r *http.Request) error {
	path, err := s.path(r, "path")
	if err != nil {
		return err
	}
	if err := s.changeable(path); err != nil {
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
