package cgroup

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/containerd/cgroups/v3/cgroup2/stats"
)

// OOMKills is how often the kernel killed in the sandbox for its memory limit.
func (t *Tree) OOMKills(id string) int64 {
	if t.v1 != nil {
		return t.v1.oomKills(t.OCIPath(id))
	}
	return int64(t.stat(id, cgroup2.StatMemoryEvents).GetMemoryEvents().GetOomKill())
}

// ForksRefused is how often the kernel refused the sandbox a process or thread
// for its limit.
func (t *Tree) ForksRefused(id string) int64 {
	dir := t.dir(id)
	if t.v1 != nil {
		dir = t.v1.dir("pids", t.OCIPath(id))
	}
	n, _ := field(filepath.Join(dir, "pids.events"), "max") // a group that has gone refused nothing
	return n
}

// Memory is what the sandbox holds without what the kernel could drop at once.
func (t *Tree) Memory(id string) int64 {
	if t.v1 != nil {
		return t.v1.memory(t.OCIPath(id))
	}
	m := t.stat(id, cgroup2.StatMemory).GetMemory()
	return int64(m.GetUsage()) - int64(m.GetInactiveFile())
}

// MemoryLimit is the limit in bytes; 0 when there is none, or it cannot be read.
func (t *Tree) MemoryLimit(id string) int64 {
	if t.v1 != nil {
		return t.v1.memoryLimit(t.OCIPath(id))
	}
	return limit(t.stat(id, cgroup2.StatMemory).GetMemory().GetUsageLimit())
}

// CPULimit is how many cores the sandbox may use; 0 when nothing limits it.
func (t *Tree) CPULimit(id string) float64 {
	if t.v1 != nil {
		return t.v1.cpuLimit(t.OCIPath(id))
	}
	quota, each, err := t.cpuMax(id)
	if err != nil || each == 0 {
		return 0
	}
	return float64(quota) / float64(each)
}

// cpuMax is the processor time that the sandbox may use in each period, both in
// microseconds; 0 when nothing limits it.
func (t *Tree) cpuMax(id string) (quota, each int64, err error) {
	b, err := os.ReadFile(filepath.Join(t.dir(id), "cpu.max"))
	if err != nil {
		return 0, 0, err
	}
	first, second, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	if each, err = strconv.ParseInt(second, 10, 64); err != nil {
		return 0, 0, fmt.Errorf("cpu.max is %q", b)
	}
	quota, _ = strconv.ParseInt(first, 10, 64) // "max" is no number
	return quota, each, nil
}

// PIDsLimit is how many processes and threads the sandbox may have; 0 when
// nothing limits them.
func (t *Tree) PIDsLimit(id string) int64 {
	if t.v1 != nil {
		return t.v1.pidsLimit(t.OCIPath(id))
	}
	return limit(t.stat(id, cgroup2.StatPids).GetPids().GetLimit())
}

// stat is nil for a group that has gone: nothing was used there.
func (t *Tree) stat(id string, mask cgroup2.StatMask) *stats.Metrics {
	g, err := t.group(id)
	if err != nil {
		return nil
	}
	m, err := g.StatFiltered(mask)
	if err != nil {
		return nil
	}
	return m
}

// limit is 0 for the number by which the library says "max".
func limit(n uint64) int64 {
	if n > math.MaxInt64 {
		return 0
	}
	return int64(n)
}

// field is the number after a word in a file of lines; 0 when it is not there.
func field(path, name string) (int64, error) {
	b, err := os.ReadFile(path)
	return fieldOf(string(b), name), err
}

func fieldOf(text, name string) int64 {
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}
