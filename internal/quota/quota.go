// Package quota has the amounts that sandboxes take and organizations may have:
// cores, and GiB of memory and disk.
package quota

import (
	"fmt"

	"github.com/opendaytona/daytona/internal/fault"
)

// Resources are those of one sandbox.
type Resources struct {
	CPU, Memory, Disk int
}

// Usage is what an organization's sandboxes take.
type Usage struct {
	CPU, Memory, Disk int // cores and memory of those that run or will
	Sandboxes         int
}

// Limits are what an organization may have: of one sandbox (or snapshot), and of
// all together.
type Limits struct {
	MaxCPU, MaxMemory, MaxDisk       int
	TotalCPU, TotalMemory, TotalDisk int
	Snapshots                        int
}

// One checks what a single sandbox or snapshot, as noun says, may have. Errors: fault
// of kind Quota.
func (l Limits) One(noun string, r Resources) error {
	for _, q := range []struct {
		name, unit   string
		limit, asked int
	}{{"cpu", "cores", l.MaxCPU, r.CPU}, {"memory", "GiB", l.MaxMemory, r.Memory}, {"disk", "GiB", l.MaxDisk, r.Disk}} {
		if q.asked > q.limit {
			return fault.Quota(fmt.Sprintf("%s quota exceeded: a %s may have at most %d %s, %d were requested.", q.name, noun, q.limit, q.unit, q.asked))
		}
	}
	return nil
}

// Sandbox checks one more sandbox beside those that there are. Errors: fault of kind
// Quota.
func (l Limits) Sandbox(used Usage, r Resources) error {
	for _, q := range []struct {
		name, unit         string
		total, used, asked int
	}{
		{"CPU", "cores", l.TotalCPU, used.CPU, r.CPU},
		{"Memory", "GiB", l.TotalMemory, used.Memory, r.Memory},
		{"Disk", "GiB", l.TotalDisk, used.Disk, r.Disk},
	} {
		if q.used+q.asked > q.total {
			return fault.Quota(fmt.Sprintf("%s quota exceeded: %d of %d %s are used, %d more were requested. Stop or delete sandboxes, or ask for a higher quota.", q.name, q.used, q.total, q.unit, q.asked))
		}
	}
	return nil
}

// Snapshot checks one more snapshot beside count others. Errors: fault of kind Quota.
func (l Limits) Snapshot(count int) error {
	if count+1 > l.Snapshots {
		return fault.Quota(fmt.Sprintf("Snapshot quota exceeded: %d of %d snapshots are used, 1 more was requested. Delete one, or ask for a higher quota.", count, l.Snapshots))
	}
	return nil
}
