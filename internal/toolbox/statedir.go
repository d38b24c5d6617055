package toolbox

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// stateDir makes an empty directory for pipes and logs, whose names only root
// can list. It is on the sandbox's disk where possible: on a tmpfs logs would
// count as memory.
func stateDir() (string, error) {
	var problems []error
	for _, onDisk := range []bool{true, false} {
		for _, parent := range []string{"/run", "/var/tmp", "/tmp", "/"} {
			var fs unix.Statfs_t
			if unix.Statfs(parent, &fs) != nil || (onDisk && fs.Type == unix.TMPFS_MAGIC) {
				continue
			}
			dir, err := freshDir(parent)
			if err == nil {
				return dir, nil
			}
			problems = append(problems, err)
		}
	}
	return "", fmt.Errorf("no place for session files: %w", errors.Join(problems...))
}

func freshDir(parent string) (string, error) {
	if os.Getpid() != 1 { // beside others, in tests and for debugging
		dir, err := os.MkdirTemp(parent, ".daytona-toolbox-")
		if err != nil {
			return "", err
		}
		return dir, os.Chmod(dir, 0o711)
	}
	dir := parent + "/.daytona-toolbox"
	if parent == "/" {
		dir = "/.daytona-toolbox"
	}
	if err := os.RemoveAll(dir); err != nil { // of the former run
		return "", err
	}
	return dir, os.Mkdir(dir, 0o711)
}
