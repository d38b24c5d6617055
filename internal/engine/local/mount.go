package local

import (
	"fmt"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/local/rootfs"
	"github.com/opendaytona/daytona/internal/engine/local/slot"
)

// mountStep mounts the source of m at a path of the calling thread's own mount
// namespace, idmapped to the step's users, and returns what the OCI runtime is to
// mount inside.
func (l *Local) mountStep(m engine.Mount, at string, s *slot.Slot) (specs.Mount, error) {
	options := []string{"rbind", "nodev"}
	if m.ReadOnly {
		options = append(options, "ro")
	}
	bind := specs.Mount{Destination: m.Target, Type: "bind", Source: at, Options: options}
	switch source := m.Source.(type) {
	case engine.Memory:
		return specs.Mount{Destination: m.Target, Type: "tmpfs", Source: "tmpfs", Options: source.Options}, nil
	case engine.Tree:
		return bind, l.mountTree(source, at, s)
	case engine.TreePart:
		bind.Source = at + "-part"
		if err := l.mountTree(source.Tree, at, s); err != nil {
			return bind, err
		}
		return bind, bindPart(at, source.Path, bind.Source)
	}
	return bind, fmt.Errorf("this engine has no mounts of kind %T", m.Source)
}

func (l *Local) mountTree(t engine.Tree, at string, s *slot.Slot) error {
	isFile := false
	if len(t.Layers) == 0 {
		info, err := os.Stat(t.Upper)
		if err != nil {
			return err
		}
		isFile = !info.IsDir()
	}
	if err := makeTarget(at, isFile); err != nil {
		return err
	}
	return rootfs.MountTree(treeAt(t, at, filepath.Join(l.dir, stageTarget), s.IDMap))
}

// bindPart mounts the part at path of what is mounted at root. It is opened
// without leaving the tree, whatever links another step puts in its way, and
// mounted by its descriptor.
func bindPart(root, path, target string) error {
	tree, err := os.Open(root)
	if err != nil {
		return err
	}
	defer tree.Close()
	part, err := guest{root: tree}.open(path, unix.O_PATH)
	if err != nil {
		return err
	}
	defer part.Close()
	info, err := part.Stat()
	if err != nil {
		return err
	}
	if err := makeTarget(target, !info.IsDir()); err != nil {
		return err
	}
	fd, err := unix.OpenTree(int(part.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("clone %s: %w", path, err)
	}
	defer unix.Close(fd)
	return unix.MoveMount(fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

func makeTarget(path string, file bool) error {
	if file {
		return os.WriteFile(path, nil, 0o600)
	}
	return os.MkdirAll(path, 0o711)
}
