package toolbox

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/boot"
)

// mountState gives the agent a directory that is there and can be written to
// however full the disk is, for what is small; "" where there is none. A session
// can be had then on a full disk, to make room.
func mountState() string {
	if os.Getpid() != 1 {
		return ""
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("daytona", boot.State, "tmpfs", flags, "size=1m,mode=0711"); err != nil {
		slog.Warn("on a full disk there will be no sessions", "error", err)
		return ""
	}
	return boot.State
}

// stateDir makes an empty directory for logs, and for pipes where there is no
// better place, whose names only root can list. It is on the sandbox's disk where
// possible: on a tmpfs logs would count as memory. On a full disk it is inMemory,
// if that is not "".
func stateDir(inMemory string) (string, error) {
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
	if inMemory != "" {
		dir, err := freshDir(inMemory)
		if err == nil {
			return dir, nil
		}
		problems = append(problems, err)
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
