package disk

import (
	"fmt"
	"io/fs"
)

// TooSmall says that a limit is below what a disk holds.
type TooSmall struct{ Used int64 }

func (e *TooSmall) Error() string { return fmt.Sprintf("the disk holds %d bytes", e.Used) }

// room is what a lower limit leaves free at least, for what is written while
// it is set, and what is lent.
const room = 16 << 20

func (p *btrfs) Resize(id string, limit int64) error {
	used, err := p.Used(id)
	if err != nil {
		return fmt.Errorf("resize disk %s: %w", id, err)
	}
	// One that is full stays valid, so only a lower limit is judged.
	if was, err := p.Limit(id); err == nil && was > 0 && limit >= was {
		used = 0
	}
	if used > 0 && used+room > limit {
		return fmt.Errorf("resize disk %s: %w", id, &TooSmall{Used: used})
	}
	defer p.lockPromises()()
	if err := p.giveLimit(id, limit); err != nil {
		return fmt.Errorf("resize disk %s: %w", id, err)
	}
	return nil
}

// Lend also puts right what a server that was killed meanwhile has lent.
func (p *btrfs) Lend(id string, limit int64) (giveBack func() error, err error) {
	if p.takeEmpty(id) && limit >= 2*room {
		return func() error { return nil }, nil // most starts are of such a disk
	}
	used, err := p.Used(id)
	if err != nil {
		return nil, fmt.Errorf("lend room to disk %s: %w", id, err)
	}
	if limit == 0 || used+room <= limit {
		return func() error { return nil }, nil
	}
	if err := setLimit(p.Path(id), used+room); err != nil {
		return nil, fmt.Errorf("lend room to disk %s: %w", id, err)
	}
	return func() error {
		if err := setLimit(p.Path(id), limit); err != nil {
			return fmt.Errorf("take back the room of disk %s: %w", id, err)
		}
		return nil
	}, nil
}

func (p *plain) Lend(id string, _ int64) (giveBack func() error, err error) {
	if !p.Exists(id) {
		return nil, fmt.Errorf("lend room to disk %s: %w", id, fs.ErrNotExist)
	}
	return func() error { return nil }, nil
}

// giveLimit sets the limit of a disk that is there. The caller keeps lockPromises.
func (p *btrfs) giveLimit(id string, limit int64) error {
	if was, err := p.Limit(id); err == nil && limit > was {
		err := p.promise(func(ps promises) { ps.disks[id] = promised{limit, ps.disks[id].group} })
		if err != nil {
			return err
		}
	}
	return setLimit(p.Path(id), limit)
}

func (p *plain) Resize(id string, _ int64) error {
	if !p.Exists(id) {
		return fmt.Errorf("resize disk %s: %w", id, fs.ErrNotExist)
	}
	return nil
}
