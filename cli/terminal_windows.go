package cli

import "time"

// windowChanges tells when the size of the user's window may have changed. Windows
// has no signal for it.
func windowChanges() (changed <-chan time.Time, stop func()) {
	t := time.NewTicker(250 * time.Millisecond)
	return t.C, t.Stop
}
