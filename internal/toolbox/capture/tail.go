package capture

import "sync"

// TailSize is how much a Tail keeps: what failed is said at the end.
const TailSize = 16 << 10

// Tail keeps the last of what is written. The zero value is ready.
type Tail struct {
	mu   sync.Mutex
	kept []byte
}

// Append adds p.
func (t *Tail) Append(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*TailSize {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-TailSize:]...)
	}
}

func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept[max(0, len(t.kept)-TailSize):])
}
