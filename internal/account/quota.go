package account

import (
	"fmt"
	"time"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// Quota is what an organization may have: of one sandbox (or snapshot), and of
// all together. Cores and GiB.
type Quota struct {
	MaxCPU, MaxMemory, MaxDisk       int
	TotalCPU, TotalMemory, TotalDisk int
	Snapshots                        int
}

// CheckSnapshot is snapshot.Limits.
func (s *Service) CheckSnapshot(r snapshot.Resources) (func(int) error, error) {
	if err := s.Quota.one("snapshot", r.CPU, r.Memory, r.Disk); err != nil {
		return nil, err
	}
	return func(count int) error {
		if count+1 > s.Quota.Snapshots {
			return fault.Quota(fmt.Sprintf("Snapshot quota exceeded: %d of %d snapshots are used, 1 more was requested. Delete one, or ask for a higher quota.", count, s.Quota.Snapshots))
		}
		return nil
	}, nil
}

// DeactivateAfter is snapshot.Limits.
func (s *Service) DeactivateAfter() time.Duration { return s.Config.DeactivateAfter }

// CheckSandbox is sandbox.Limits.
func (s *Service) CheckSandbox(r sandbox.Resources) (func(sandbox.Usage) error, error) {
	if err := s.Quota.one("sandbox", r.CPU, r.Memory, r.Disk); err != nil {
		return nil, err
	}
	return func(u sandbox.Usage) error {
		for _, q := range []struct {
			name, unit         string
			total, used, asked int
		}{
			{"CPU", "cores", s.Quota.TotalCPU, u.CPU, r.CPU},
			{"Memory", "GiB", s.Quota.TotalMemory, u.Memory, r.Memory},
			{"Disk", "GiB", s.Quota.TotalDisk, u.Disk, r.Disk},
		} {
			if q.used+q.asked > q.total {
				return fault.Quota(fmt.Sprintf("%s quota exceeded: %d of %d %s are used, %d more were requested. Stop or delete sandboxes, or ask for a higher quota.", q.name, q.used, q.total, q.unit, q.asked))
			}
		}
		return nil
	}, nil
}

// one checks what a single sandbox may have.
func (q Quota) one(noun string, cpu, memory, disk int) error {
	for _, r := range []struct {
		name, unit   string
		limit, asked int
	}{{"cpu", "cores", q.MaxCPU, cpu}, {"memory", "GiB", q.MaxMemory, memory}, {"disk", "GiB", q.MaxDisk, disk}} {
		if r.asked > r.limit {
			return fault.Quota(fmt.Sprintf("%s quota exceeded: a %s may have at most %d %s, %d were requested.", r.name, noun, r.limit, r.unit, r.asked))
		}
	}
	return nil
}
