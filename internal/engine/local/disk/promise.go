package disk

import (
	"fmt"
	"math"
	"os"
)

// promises are what the disks may take, by the limits that were given.
type promises struct {
	disks  map[string]promised
	groups map[uint64]int64 // limits that the kernel is not told yet, 0 for none
}

type promised struct {
	limit int64  // 0 for none
	group uint64 // 0 for none
}

// sum is how many bytes all disks can take together. Those of a group can take what
// each may, but no more than the group; a disk by itself that has no limit is
// only read.
func (p *btrfs) sum(ps promises) (sum float64, err error) {
	grouped := make(map[uint64]float64)
	for _, d := range ps.disks {
		if d.group == 0 {
			sum += float64(d.limit)
		} else {
			grouped[d.group] += most(d.limit)
		}
	}
	for group, n := range grouped {
		limit, told := ps.groups[group]
		if !told {
			if limit, err = p.quota(groupFile(group), "max_referenced"); err != nil {
				return 0, err
			}
		}
		sum += min(n, most(limit))
	}
	return sum, nil
}

// most is what a limit allows.
func most(limit int64) float64 {
	if limit <= 0 {
		return math.Inf(1)
	}
	return float64(limit)
}

// lockPromises keeps others from giving limits meanwhile, where they count.
func (p *btrfs) lockPromises() (unlock func()) {
	if p.config.Oversubscribe <= 0 {
		return func() {}
	}
	p.promises.Lock()
	return p.promises.Unlock
}

// promise makes room for a change of what was promised, as far as the pool may
// promise more than it has; what promises no more than before always fits. The caller
// keeps lockPromises until the change is made. Errors: ErrFull.
func (p *btrfs) promise(change func(promises)) error {
	if p.config.Oversubscribe <= 0 {
		return nil
	}
	size, err := p.Size()
	if err != nil {
		return fmt.Errorf("size of the disk pool: %w", err)
	}
	ps, err := p.promised()
	if err != nil {
		return fmt.Errorf("read the limits of all disks: %w", err)
	}
	before, err := p.sum(ps)
	if err != nil {
		return fmt.Errorf("read the limits of groups: %w", err)
	}
	change(ps)
	after, err := p.sum(ps)
	if err != nil {
		return fmt.Errorf("read the limits of groups: %w", err)
	}
	if allowed := float64(size) * p.config.Oversubscribe; after > allowed && after > before {
		return fmt.Errorf("%w: %.1f GiB would be promised, at most %.1f may be", ErrFull, after/(1<<30), allowed/(1<<30))
	}
	return nil
}

// promised reads the promises from the kernel, which has them also after a crash.
func (p *btrfs) promised() (ps promises, err error) {
	ids, err := p.List()
	if err != nil {
		return ps, err
	}
	dir, err := os.Open(p.disks)
	if err != nil {
		return ps, err
	}
	defer dir.Close()
	groups, err := memberships(dir)
	if err != nil {
		return ps, err
	}
	ps = promises{make(map[string]promised, len(ids)), make(map[uint64]int64)}
	for _, id := range ids {
		sub, err := subvolumeID(p.Path(id))
		if err != nil {
			continue // it is being removed
		}
		limit, err := p.quota(subvolumeGroup(sub), "max_referenced")
		if err != nil {
			continue
		}
		ps.disks[id] = promised{limit, groups[sub]}
	}
	return ps, nil
}
