package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine"
)

// maxAccounts is how large a file of users or groups may be.
const maxAccounts = 4 << 20

// checkAccounts looks at the files that the OCI runtime reads as the host's root
// inside the root filesystem, before it does: it would wait for ever to open a
// FIFO that nobody writes to. root is the mounted root filesystem, in which
// nothing runs yet.
func checkAccounts(root string) error {
	dir, err := os.Open(root)
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, path := range []string{"/etc/passwd", "/etc/group"} {
		if err := checkAccountFile(guest{root: dir}, path); err != nil {
			return err
		}
	}
	return nil
}

func checkAccountFile(g guest, path string) error {
	f, err := g.open(path, unix.O_PATH)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // the runtime does without
	case err != nil:
		return &engine.BadFile{Path: path, Reason: "cannot be opened: " + reason(err)}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &engine.BadFile{Path: path, Reason: fmt.Sprintf("is no regular file (%s)", info.Mode().Type())}
	}
	if info.Size() > maxAccounts {
		return &engine.BadFile{Path: path, Reason: fmt.Sprintf("is larger than %d MiB", maxAccounts>>20)}
	}
	// What a link finds in these is hidden by a mount when the runtime reads it.
	at, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(at, g.root.Name()), "/"), "/")
	if slices.Contains([]string{"dev", "proc", "sys"}, first) {
		return &engine.BadFile{Path: path, Reason: "is a link into /" + first}
	}
	return nil
}

// reason is an error without the operation and the path.
func reason(err error) string {
	var number unix.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return err.Error()
}
