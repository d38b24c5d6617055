package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// OOMKills is how often the kernel killed in the sandbox for its memory limit.
func (t *Tree) OOMKills(id string) int64 {
	if t.v2 {
		return field(filepath.Join(t.dir(root, id), "memory.events"), "oom_kill")
	}
	return field(filepath.Join(t.dir(filepath.Join(root, "memory"), id), "memory.oom_control"), "oom_kill")
}

// ForksRefused is how often the kernel refused the sandbox a process or thread
// for its limit.
func (t *Tree) ForksRefused(id string) int64 {
	mount := root
	if !t.v2 {
		mount = filepath.Join(root, "pids")
	}
	return field(filepath.Join(t.dir(mount, id), "pids.events"), "max")
}

// Memory is what the sandbox holds without what the kernel could drop at once.
func (t *Tree) Memory(id string) int64 {
	if t.v2 {
		dir := t.dir(root, id)
		return number(filepath.Join(dir, "memory.current")) - field(filepath.Join(dir, "memory.stat"), "inactive_file")
	}
	dir := t.dir(filepath.Join(root, "memory"), id)
	return number(filepath.Join(dir, "memory.usage_in_bytes")) - field(filepath.Join(dir, "memory.stat"), "total_inactive_file")
}

// CPULimit is how many cores the sandbox may use; 0 when nothing limits it.
func (t *Tree) CPULimit(id string) float64 {
	if t.v2 {
		b, err := os.ReadFile(filepath.Join(t.dir(root, id), "cpu.max"))
		if err != nil {
			return 0
		}
		var quota, each float64 // the first is "max" without a limit
		if _, err := fmt.Sscan(string(b), &quota, &each); err != nil || each == 0 {
			return 0
		}
		return quota / each
	}
	dir := t.dir(filepath.Join(root, "cpu"), id)
	quota, each := number(filepath.Join(dir, "cpu.cfs_quota_us")), number(filepath.Join(dir, "cpu.cfs_period_us"))
	if quota <= 0 || each == 0 {
		return 0
	}
	return float64(quota) / float64(each)
}

// PIDsLimit is how many processes and threads the sandbox may have; 0 when
// nothing limits them.
func (t *Tree) PIDsLimit(id string) int64 {
	mount := root
	if !t.v2 {
		mount = filepath.Join(root, "pids")
	}
	return number(filepath.Join(t.dir(mount, id), "pids.max")) // "max" is no number
}

// CPU is the processor time the sandbox used since it was started.
func (t *Tree) CPU(id string) time.Duration {
	if t.v2 {
		return time.Duration(field(filepath.Join(t.dir(root, id), "cpu.stat"), "usage_usec")) * time.Microsecond
	}
	for _, m := range t.mounts {
		if strings.Contains(filepath.Base(m), "cpuacct") {
			return time.Duration(number(filepath.Join(t.dir(m, id), "cpuacct.usage")))
		}
	}
	return 0
}

// field is the number after a word in a file of lines; 0 when it is not there.
func field(path, name string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	return fieldOf(string(b), name)
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

func number(path string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return n
}
