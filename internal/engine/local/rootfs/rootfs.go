// Package rootfs puts a sandbox's root filesystem together: the image's layers
// below, the sandbox's own disk above, both seen through idmapped mounts, so
// that on disk all ids are the container's own. It imports nothing of the
// house but package disk, whose directory names it knows; package local mounts
// with it when it starts a sandbox.
package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine/local/disk"
)

// Root says what to mount where.
type Root struct {
	Layers []string // topmost first
	Disk   string   // a disk of package disk
	// IDMap is a user namespace that maps the container's ids to the host's,
	// and one more id to the host's root: overlayfs works as root in its work
	// directory and would otherwise turn read-only without a word. It must not
	// be the sandbox's own namespace, in which that id would be host root.
	IDMap *os.File

	Target     string // the root filesystem goes here
	DiskTarget string // and the disk, as the sandbox sees it, here
	Stage      string // a directory of the caller's, see files.attach
}

// Mount mounts the root. It is meant to be called on a thread with a mount
// namespace of its own, so that nothing has to be unmounted after a crash.
func Mount(r Root) error {
	if len(r.Layers) == 0 {
		return errors.New("mount rootfs: the image has no layers")
	}
	var open files
	defer open.close()

	upper, err := open.clone(r.Disk, r.IDMap)
	if err != nil {
		return err
	}
	if err := unix.MoveMount(upper, "", unix.AT_FDCWD, r.DiskTarget, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount disk %s on %s: %w", r.Disk, r.DiskTarget, err)
	}
	layers, err := open.layers(r.Layers, r.IDMap, r.Stage)
	if err != nil {
		return err
	}
	top := writable{upper: fdPath(upper) + "/" + disk.Upper, work: fdPath(upper) + "/" + disk.Work}
	if err := overlay(layers, top, r.Target, &open); err != nil {
		return fmt.Errorf("mount rootfs of disk %s: %w", r.Disk, err)
	}
	return nil
}

// files are descriptors to be closed together.
type files []int

func (f *files) close() {
	for _, fd := range *f {
		unix.Close(fd)
	}
}

// clone makes a detached copy of the mount at path, idmapped when idmap is not
// nil. What the host mounts noexec or nosuid is so for its own users: in a
// sandbox, programs run from everywhere, and nobody is the host's root.
func (f *files) clone(path string, idmap *os.File) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("clone mount %s: %w", path, err)
	}
	*f = append(*f, fd)
	if idmap == nil {
		return fd, nil
	}
	attr := unix.MountAttr{
		Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(idmap.Fd()),
		Attr_clr: unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NOSUID,
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return -1, fmt.Errorf("idmap mount %s (does its filesystem know idmapped mounts?): %w", path, err)
	}
	return fd, nil
}

// attach mounts a clone at the stage. Linux before 6.15 makes an overlay only of
// mounts that are in the mount namespace of who makes it (clone_private_mount in
// fs/namespace.c). There it stays: several may lie on one another, the overlay
// has copies of its own, and all of it goes with the thread's namespace.
func (f *files) attach(path, stage string, idmap *os.File) (int, error) {
	fd, err := f.clone(path, idmap)
	if err != nil {
		return -1, err
	}
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, stage, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return -1, fmt.Errorf("attach mount %s: %w", path, err)
	}
	return fd, nil
}

// layers opens every layer within an idmapped clone at the stage. One clone of
// the directory that holds them all serves all of them; layers on other mounts
// get a clone each.
func (f *files) layers(paths []string, idmap *os.File, stage string) ([]int, error) {
	parent := commonDir(paths)
	mount, err := mountID(parent)
	if err != nil {
		return nil, err
	}
	shared := -1
	fds := make([]int, len(paths))
	for i, path := range paths {
		id, err := mountID(path)
		if err != nil {
			return nil, err
		}
		if id != mount {
			if fds[i], err = f.attach(path, stage, idmap); err != nil {
				return nil, err
			}
			continue
		}
		if shared < 0 {
			if shared, err = f.attach(parent, stage, idmap); err != nil {
				return nil, err
			}
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(path, parent), "/")
		if rel == "" {
			rel = "."
		}
		fds[i], err = unix.Openat(shared, rel, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open layer %s: %w", path, err)
		}
		*f = append(*f, fds[i])
	}
	return fds, nil
}

func mountID(path string) (uint64, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID, &st); err != nil {
		return 0, fmt.Errorf("layer %s: %w", path, err)
	}
	return st.Mnt_id, nil
}

// commonDir is the deepest directory that holds all paths.
func commonDir(paths []string) string {
	dir := filepath.Dir(paths[0])
	for _, p := range paths[1:] {
		for dir != "/" && !strings.HasPrefix(p, dir+"/") {
			dir = filepath.Dir(dir)
		}
	}
	return dir
}
