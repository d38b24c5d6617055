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
	"os"
	"sync"

	"github.com/opendaytona/daytona/internal/toolbox/cgroup"
)

// View is what the files are made of.
type View struct {
	group  *cgroup.Group
	kernel *os.Root // its own proc, see mountKernel

	mu    sync.Mutex
	usage *usage
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
