package toolbox

import (
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// shareMounts makes every mount of the sandbox shared, as systemd does with a
// machine's: container engines hand volumes on to their containers that way,
// and Kubernetes refuses some kinds of volume without it. An OCI runtime cannot
// do this; it makes the container's root a private mount. The sandbox's mount
// namespace belongs to its own user namespace, so nothing of this leads out.
func shareMounts() {
	if os.Getpid() != 1 {
		return
	}
	if err := unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		slog.Warn("mounts are not shared with containers inside", "error", err)
	}
}
