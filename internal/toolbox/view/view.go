// Package view shows the sandbox its own size where programs look for the
// machine's: /proc/meminfo, /proc/cpuinfo and a few others. The kernel knows no
// such files for a control group, so the agent serves them by FUSE and binds
// them over the kernel's. What they say is made of the control group when they
// are read, so they follow a resize and cost nothing in between.
//
// It imports package cgroup, and boot for its place. files.go lists the files,
// one file for each of the larger formats follows; filesystem.go is what the
// kernel asks of a filesystem, mount.go where it goes.
package view

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/cgroup"
)

// View is what the files are made of.
type View struct {
	group  *cgroup.Group
	kernel *os.Root // its own proc, see mountKernel
	device uint64   // of the mounted filesystem

	mu    sync.Mutex
	usage *usage
}

// Text is what the file behind an O_PATH descriptor says, if it is one of the
// view's. For those the agent may use nothing else: see machine.
func (v *View) Text(fd int) (text string, ok bool) {
	device, node, err := identify(fd, "")
	if err != nil || device != v.device {
		return "", false
	}
	file, ok := fileOf(node)
	if !ok {
		return "", false
	}
	return file.write(v), true
}

// identify tells which file is at a path without asking the filesystem that has
// it.
func identify(dir int, path string) (device, node uint64, err error) {
	var st unix.Statx_t
	if err := unix.Statx(dir, path, unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &st); err != nil {
		return 0, 0, fmt.Errorf("identify %s: %w", path, err)
	}
	return unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino, nil
}

// machine reads one of the kernel's own files, "" for none. The agent must not
// read those that it serves: a thread would wait for another of its process,
// and not even a kill ends such a wait.
func (v *View) machine(name string) string {
	b, err := v.kernel.ReadFile(name)
	if err != nil {
		return ""
	}
	return string(b)
}
