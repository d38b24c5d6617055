package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/opendaytona/daytona/internal/toolbox/identity"
)

// MkdirAll makes dir and the parents it lacks, each owned by u. What exists is
// left as it is.
func MkdirAll(dir string, mode os.FileMode, u identity.User) error {
	if info, err := os.Stat(dir); err == nil {
		if info.IsDir() {
			return nil
		}
		return &os.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := MkdirAll(parent, 0o755, u); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, mode.Perm()); err != nil {
		if errors.Is(err, os.ErrExist) { // made by someone else meanwhile
			return nil
		}
		return err
	}
	if err := Own(dir, u); err != nil {
		return err
	}
	return nil
}

// Own gives a new file to u. An agent that is not root leaves it as it is.
func Own(path string, u identity.User) error {
	if os.Geteuid() != 0 {
		return nil
	}
	if err := os.Lchown(path, int(u.UID), int(u.GID)); err != nil {
		return fmt.Errorf("give %s to user %s: %w", path, u.Name, err)
	}
	return nil
}
