package disk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// lockPromises keeps others from giving limits meanwhile, where they count.
func (p *btrfs) lockPromises() (unlock func()) {
	if p.config.Oversubscribe <= 0 {
		return func() {}
	}
	p.promises.Lock()
	return p.promises.Unlock
}

// promise makes room for a new or larger limit among all that were given, as
// far as the pool may promise more than it has. The caller keeps lockPromises until
// the limit is set.
func (p *btrfs) promise(id string, limit int64) error {
	if p.config.Oversubscribe <= 0 {
		return nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(p.disks, &st); err != nil {
		return fmt.Errorf("size of the disk pool: %w", err)
	}
	ids, err := p.List()
	if err != nil {
		return err
	}
	sum := limit
	for _, other := range ids {
		if other == id {
			continue
		}
		// One that cannot be read is being removed.
		if n, err := p.Limit(other); err == nil {
			sum += n
		}
	}
	if most := int64(float64(int64(st.Blocks)*st.Bsize) * p.config.Oversubscribe); sum > most {
		return fmt.Errorf("%w: %d GiB would be promised, at most %d may be", ErrFull, sum>>30, most>>30)
	}
	return nil
}
