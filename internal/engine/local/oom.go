package local

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// quiet is how long nothing more is told of a sandbox after it was told that
// the kernel killed in it: a bomb must not fill the log.
const quiet = time.Second

// watchMemory tells of the processes that the kernel kills in a sandbox for its
// memory limit, until over ends.
func (l *Local) watchMemory(over context.Context, id string, c *container) {
	ooms, err := l.cgroups.WatchOOM(id)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) { // it has ended already
			l.log(id).Warn("out of memory will not be told", "err", err)
		}
		return
	}
	defer ooms.Close()
	defer context.AfterFunc(over, func() { ooms.Close() })()
	for {
		killed, err := ooms.Next()
		if err != nil {
			return // it has ended
		}
		c.memory.told(killed)
		l.log(id).Warn("the kernel killed in a sandbox for its memory limit", "processes", killed, "limit", l.cgroups.MemoryLimit(id))
		if l.OutOfMemory != nil {
			l.OutOfMemory(id, killed)
		}
		select {
		case <-time.After(quiet):
		case <-over.Done():
			return
		}
	}
}

// memoryWatch remembers the kills of a sandbox that were told.
type memoryWatch struct {
	mu     sync.Mutex
	killed int64
	at     time.Time // of the last
}

func (m *memoryWatch) told(killed int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.killed += killed
	m.at = time.Now()
}

// ranOut tells of a sandbox that has just ended whether that was for memory:
// its first process is killed soon after the others, as the last.
func (m *memoryWatch) ranOut(killed int64) bool {
	const soon = 10 * time.Second
	m.mu.Lock()
	defer m.mu.Unlock()
	return killed > m.killed || killed > 0 && time.Since(m.at) < soon
}
