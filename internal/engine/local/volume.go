package local

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	continuity "github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/durable"
	"github.com/opendaytona/daytona/internal/engine/local/disk"
)

// nested are where container engines inside keep their own overlays, which
// cannot stand on the sandbox's: they get directories of its disk.
var nested = []string{"/var/lib/containerd", "/var/lib/docker", "/var/lib/kubelet", "/var/lib/rancher"}

// noVolume are paths that are mounts already.
var noVolume = []string{"/", "/proc", "/sys", "/dev", "/.daytona", "/etc"}

// volumeDir is where a path's volume is on the disk.
func volumeDir(path string) string { return filepath.Join(disk.Data, url.PathEscape(path)) }

// fillVolumes makes the volumes that are not there yet, with what the image has
// at their paths. root is the mounted root filesystem, in which ids are those
// of the sandbox's user namespace; on the disk they are its own.
func fillVolumes(b *bundle, root, disk string) error {
	g, err := os.Open(root)
	if err != nil {
		return err
	}
	defer g.Close()
	for _, path := range append(slices.Clone(nested), b.image.Config.Volumes...) {
		path = filepath.Clean("/" + path)
		if slices.Contains(noVolume, path) || strings.HasPrefix(path, "/proc/") || strings.HasPrefix(path, "/sys/") || strings.HasPrefix(path, "/dev/") || slices.Contains(b.volumes, path) {
			continue
		}
		if err := fillVolume(guest{root: g, owner: b.slot.HostID}, filepath.Join(disk, volumeDir(path)), path); err != nil {
			return fmt.Errorf("make volume %s: %w", path, err)
		}
		b.volumes = append(b.volumes, path)
	}
	// A volume inside another is mounted after it.
	slices.Sort(b.volumes)
	return nil
}

func fillVolume(g guest, target, path string) error {
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	// A half-made one has another name.
	next := filepath.Join(filepath.Dir(target), "."+filepath.Base(target))
	if err := os.RemoveAll(next); err != nil {
		return err
	}
	source, err := g.open(path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		if err := os.Mkdir(next, 0o755); err != nil {
			return err
		}
		return os.Rename(next, target)
	}
	defer source.Close()
	if err := continuity.CopyDir(next, fmt.Sprintf("/proc/self/fd/%d/.", source.Fd())); err != nil {
		return err
	}
	if err := shiftOwners(next, g.owner); err != nil {
		return err
	}
	// With its name, the files must have what they hold: nobody copies them again.
	if empty, err := isEmpty(next); err != nil {
		return err
	} else if !empty {
		if err := durable.SyncFilesystem(next); err != nil {
			return err
		}
	}
	return os.Rename(next, target)
}

// shiftOwners turns the host's ids of a user namespace into its own.
func shiftOwners(dir string, base int) error {
	seen := map[uint64]bool{} // hard links
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if seen[st.Ino] {
			return nil
		}
		seen[st.Ino] = true
		uid, gid := int(st.Uid)-base, int(st.Gid)-base
		if uid < 0 || gid < 0 {
			return errors.New(path + " belongs to nobody inside")
		}
		if err := unix.Lchown(path, uid, gid); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFLNK { // a change of owner clears the setuid bits
			return unix.Chmod(path, st.Mode&0o7777)
		}
		return nil
	})
}

func isEmpty(dir string) (bool, error) {
	f, err := os.Open(dir)
	if err != nil {
		return false, err
	}
	defer f.Close()
	_, err = f.Readdirnames(1)
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}
