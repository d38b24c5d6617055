package image

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// defaultUser decides who runs: the image's USER, else "daytona" where the
// image has such a user, else root.
func defaultUser(c Config, layers []string) (string, error) {
	if c.User != "" {
		return c.User, nil
	}
	f, err := openInLayers(layers, "etc/passwd")
	if errors.Is(err, os.ErrNotExist) {
		return "root", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "daytona:") {
			return "daytona", nil
		}
	}
	return "root", lines.Err()
}

// openInLayers opens a file as an overlay of the layers would show it, without
// ever leaving a layer by a link.
func openInLayers(layers []string, name string) (*os.File, error) {
	for _, layer := range layers {
		dir, err := unix.Open(layer, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open layer %s: %w", layer, err)
		}
		fd, err := unix.Openat2(dir, name, &unix.OpenHow{
			Flags: unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
		})
		_ = unix.Close(dir)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			continue
		}
		if errors.Is(err, unix.ENXIO) { // a whiteout: a device that no driver has
			return nil, os.ErrNotExist
		}
		if err != nil {
			return nil, fmt.Errorf("open %s in layer %s: %w", name, layer, err)
		}
		f := os.NewFile(uintptr(fd), name)
		if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
			return nil, errors.Join(os.ErrNotExist, err, f.Close())
		}
		return f, nil
	}
	return nil, os.ErrNotExist
}
