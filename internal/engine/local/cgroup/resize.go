package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// period is the kernel's default for CPU quotas, in microseconds.
const period = 100_000

// MemoryLimit is the limit in bytes; 0 when it cannot be read. Without a limit
// in v1 it is larger than any memory.
func (t *Tree) MemoryLimit(id string) int64 {
	if t.v2 {
		return number(filepath.Join(t.dir(root, id), "memory.max"))
	}
	return number(filepath.Join(t.dir(filepath.Join(root, "memory"), id), "memory.limit_in_bytes"))
}

// SetMemory changes the limit of memory, without swap, in bytes. Where the
// sandbox uses more, v1 refuses and v2 kills: the caller looks first.
func (t *Tree) SetMemory(id string, bytes int64) error {
	limit := strconv.FormatInt(bytes, 10)
	if t.v2 {
		return t.write(root, id, "memory.max", limit)
	}
	mount := filepath.Join(root, "memory")
	if !t.LimitsSwap() {
		return t.write(mount, id, "memory.limit_in_bytes", limit)
	}
	// That of memory and swap together may at no moment be the smaller one.
	order := []string{"memory.limit_in_bytes", "memory.memsw.limit_in_bytes"}
	if bytes > t.MemoryLimit(id) {
		order[0], order[1] = order[1], order[0]
	}
	for _, name := range order {
		if err := t.write(mount, id, name, limit); err != nil {
			return err
		}
	}
	return nil
}

// SetCPU changes how many cores the sandbox may use, and in proportion its
// share when the machine is busy.
func (t *Tree) SetCPU(id string, cores float64) error {
	quota := int64(cores * period)
	if !t.v2 {
		mount := filepath.Join(root, "cpu")
		text := strconv.FormatInt(quota, 10)
		err := t.write(mount, id, "cpu.cfs_quota_us", text)
		if errors.Is(err, unix.EINVAL) {
			err = errors.Join(lowerInner(t.dir(mount, id), cores), t.write(mount, id, "cpu.cfs_quota_us", text))
		}
		if err != nil {
			return err
		}
		return t.write(mount, id, "cpu.shares", strconv.FormatInt(max(2, int64(cores*1024)), 10))
	}
	// The OCI runtimes differ in how they make a weight of shares: what this
	// one made is scaled.
	dir := t.dir(root, id)
	weight := number(filepath.Join(dir, "cpu.weight"))
	b, err := os.ReadFile(filepath.Join(dir, "cpu.max"))
	if err != nil {
		return fmt.Errorf("read cpu.max of sandbox %s: %w", id, err)
	}
	var was int64 // stays 0 for "max"
	if first, _, found := strings.Cut(string(b), " "); found {
		was, _ = strconv.ParseInt(first, 10, 64)
	}
	if err := t.write(root, id, "cpu.max", fmt.Sprintf("%d %d", quota, period)); err != nil {
		return err
	}
	if was <= 0 || weight <= 0 {
		return nil
	}
	return t.write(root, id, "cpu.weight", strconv.FormatInt(min(max(weight*quota/was, 1), 10_000), 10))
}

// lowerInner takes from the groups that the sandbox has made in its own what
// they have beyond that many cores. Version 1 refuses a group less than what one
// below it has; in version 2 the lesser of both counts.
func lowerInner(dir string, cores float64) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ignoreGone(err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		inner := filepath.Join(dir, e.Name())
		if err := lowerInner(inner, cores); err != nil { // first those below
			return err
		}
		file := filepath.Join(inner, "cpu.cfs_quota_us")
		quota, period := number(file), number(filepath.Join(inner, "cpu.cfs_period_us"))
		if most := int64(cores * float64(period)); quota > most {
			if err := os.WriteFile(file, []byte(strconv.FormatInt(most, 10)), 0); ignoreGone(err) != nil {
				return fmt.Errorf("lower the quota of an inner cgroup: %w", err)
			}
		}
	}
	return nil
}

func (t *Tree) write(mount, id, name, value string) error {
	if err := os.WriteFile(filepath.Join(t.dir(mount, id), name), []byte(value), 0); err != nil {
		return fmt.Errorf("set %s of sandbox %s to %s: %w", name, id, value, err)
	}
	return nil
}
