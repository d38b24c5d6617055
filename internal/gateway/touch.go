package gateway

import "time"

// Touch records that a sandbox is being used. It must not block.
type Touch func(id string)

// touchPeriod is how often a request that goes on counts as activity.
const touchPeriod = 30 * time.Second

// during lets a request count as activity for as long as it goes on: until what
// it returns is called.
func (touch Touch) during(id string) (end func()) {
	touch(id)
	ended := make(chan struct{})
	go func() {
		tick := time.NewTicker(touchPeriod)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				touch(id)
			case <-ended:
				return
			}
		}
	}()
	return func() {
		close(ended)
		touch(id)
	}
}
