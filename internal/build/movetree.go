package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/continuity/sysx"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/filecopy"
	"github.com/opendaytona/daytona/internal/image"
)

// moveTree makes to, which is emptied, the same tree as from, as far as a layer
// tells: owners, modes, times, links, devices (overlayfs' whiteouts among them),
// extended attributes, and holes, which a file keeps: one of a terabyte may take
// nothing. take is told of each file before it is made. Nobody may write to from meanwhile.
func moveTree(ctx context.Context, to, from string, take image.Take) error {
	if err := clearDir(to); err != nil {
		return err
	}
	m := mover{ctx: ctx, take: take, links: make(map[uint64]string)}
	err := m.directory(to, from)
	if err == nil {
		err = syncAt(to)
	}
	if err != nil {
		return errors.Join(err, clearDir(to))
	}
	return nil
}

// syncAt writes to the device what the filesystem of dir has in memory: who
// notes that a layer is there, or removes where it came from, is sure of it.
func syncAt(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

type mover struct {
	ctx   context.Context
	take  image.Take
	links map[uint64]string // where files with several names are, by their inode
}

// directory copies what is in a directory, and then what the directory itself
// tells: its times last.
func (m *mover) directory(to, from string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := m.ctx.Err(); err != nil {
			return context.Cause(m.ctx)
		}
		if err := m.entry(filepath.Join(to, e.Name()), filepath.Join(from, e.Name())); err != nil {
			return err
		}
	}
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: from, Err: err}
	}
	return describe(to, from, &st)
}

func (m *mover) entry(to, from string) error {
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: from, Err: err}
	}
	// What a file takes is limited where it was written.
	if err := m.take(st.Blocks*512, 1); err != nil {
		return err
	}
	kind := st.Mode & unix.S_IFMT
	if kind == unix.S_IFDIR {
		if err := os.Mkdir(to, 0o700); err != nil {
			return err
		}
		return m.directory(to, from)
	}
	if st.Nlink > 1 {
		if first, ok := m.links[st.Ino]; ok {
			return os.Link(first, to)
		}
		m.links[st.Ino] = to
	}
	var err error
	if kind == unix.S_IFREG {
		err = filecopy.Regular(m.ctx, to, from)
	} else {
		err = filecopy.Special(to, from, &st)
	}
	if err != nil {
		return err
	}
	return describe(to, from, &st)
}

// describe gives to what from tells of itself.
func describe(to, from string, st *unix.Stat_t) error {
	if err := os.Lchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	names, err := sysx.LListxattr(from)
	if err != nil && !errors.Is(err, unix.ENOTSUP) {
		return fmt.Errorf("list the attributes of %s: %w", from, err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "btrfs.") { // how that filesystem keeps the file
			continue
		}
		value, err := sysx.LGetxattr(from, name)
		if err == nil {
			err = sysx.LSetxattr(to, name, value, 0)
		}
		if err != nil {
			return fmt.Errorf("copy attribute %s of %s: %w", name, from, err)
		}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK { // a change of owner clears the setuid bits
		if err := unix.Chmod(to, st.Mode&0o7777); err != nil {
			return &os.PathError{Op: "chmod", Path: to, Err: err}
		}
	}
	return filecopy.Times(to, st)
}
