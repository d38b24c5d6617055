package rootfs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Tree is a directory tree that is not a sandbox's root: a step of a build, or
// what is mounted into one. It is seen through idmapped mounts as Root is.
type Tree struct {
	Layers []string // read-only, topmost first
	// Upper and Work make it writable above the layers. Without layers, Upper
	// alone is the tree, which may be a file. Another overlay may have them at
	// the same time, if nobody looks into it.
	Upper, Work string
	IDMap       *os.File // as in Root; nil shows the ids as they are on disk
	Target      string
	Stage       string // as in Root; not needed for a single layer
}

// MountTree mounts the tree, on a thread with a mount namespace of its own.
func MountTree(t Tree) error {
	var open files
	defer open.close()
	paths := t.Layers
	if t.Upper != "" {
		paths = append([]string{t.Upper}, paths...)
	}
	if len(paths) == 0 {
		return errors.New("mount tree: there is nothing to mount")
	}
	if len(paths) == 1 {
		fd, err := open.clone(paths[0], t.IDMap)
		if err != nil {
			return err
		}
		if err := unix.MoveMount(fd, "", unix.AT_FDCWD, t.Target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("mount %s on %s: %w", paths[0], t.Target, err)
		}
		return nil
	}
	layers, err := open.layers(t.Layers, t.IDMap, t.Stage)
	if err != nil {
		return err
	}
	var top writable
	if t.Upper != "" {
		// Overlayfs asks for one mount of both.
		dirs, err := open.layers([]string{t.Upper, t.Work}, t.IDMap, t.Stage)
		if err != nil {
			return err
		}
		top = writable{upper: fdPath(dirs[0]), work: fdPath(dirs[1]), shared: true}
	}
	if err := overlay(layers, top, t.Target, &open); err != nil {
		return fmt.Errorf("mount tree on %s: %w", t.Target, err)
	}
	return nil
}
