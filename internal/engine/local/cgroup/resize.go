package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/cgroups/v3/cgroup2"
)

// period is the kernel's default for CPU quotas, in microseconds.
const period = 100_000

// SetMemory changes the limit of memory, without swap, in bytes. Where the
// sandbox uses more, the kernel kills in it: the caller looks first.
func (t *Tree) SetMemory(id string, bytes int64) error {
	var err error
	if t.v1 != nil {
		err = t.v1.setMemory(t.OCIPath(id), bytes)
	} else {
		err = t.update(id, &cgroup2.Resources{Memory: &cgroup2.Memory{Max: &bytes}})
	}
	if err != nil {
		return fmt.Errorf("limit the memory of sandbox %s to %d bytes: %w", id, bytes, err)
	}
	return nil
}

// SetCPU changes how many cores the sandbox may use, and in proportion its
// share when the machine is busy.
func (t *Tree) SetCPU(id string, cores float64) error {
	var err error
	if t.v1 != nil {
		err = t.v1.setCPU(t.OCIPath(id), cores)
	} else {
		err = t.setCPU(id, cores)
	}
	if err != nil {
		return fmt.Errorf("limit the processor time of sandbox %s to %g cores: %w", id, cores, err)
	}
	return nil
}

func (t *Tree) setCPU(id string, cores float64) error {
	was, _, err := t.cpuMax(id)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(t.dir(id), "cpu.weight"))
	if err != nil {
		return err
	}
	quota, each := int64(cores*period), uint64(period)
	cpu := &cgroup2.CPU{Max: cgroup2.NewCPUMax(&quota, &each)}
	// The OCI runtimes differ in how they make a weight of shares: what this
	// one made is scaled.
	if weight, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); was > 0 && weight > 0 {
		scaled := uint64(min(max(weight*quota/was, 1), 10_000))
		cpu.Weight = &scaled
	}
	return t.update(id, &cgroup2.Resources{CPU: cpu})
}

func (t *Tree) update(id string, r *cgroup2.Resources) error {
	g, err := t.group(id)
	if err != nil {
		return err
	}
	return g.Update(r)
}
