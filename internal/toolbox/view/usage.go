package view

import (
	"math"
	"time"

	"github.com/opendaytona/daytona/internal/toolbox/cgroup"
)

// usage turns the group's processor time, which only grows, into what /proc
// tells of processors. It is brought up to date when somebody reads.
type usage struct {
	last time.Time
	used cgroup.CPU

	// cores has a counter for each core that the sandbox has had. The kernel
	// does not tell which of them was used, so that is spread over all of them.
	cores []core
	now   int // how many it has now

	load    [3]float64 // as of getloadavg(3)
	running int
}

// core is how long one of them did what.
type core struct{ user, system, idle time.Duration }

// shortest is the time between two looks, so that many readers see the same.
const shortest = 10 * time.Millisecond

// since begins to count at the start of the sandbox, when nothing was used.
func since(start time.Time) *usage { return &usage{last: start} }

// look brings u up to date.
func (u *usage) look(at time.Time, used cgroup.CPU, cores int) {
	u.now = cores
	for len(u.cores) < cores {
		u.cores = append(u.cores, core{})
	}
	passed := at.Sub(u.last)
	if passed < shortest {
		return
	}
	user, system := used.User-u.used.User, used.System-u.used.System
	wanted := user + system + used.Throttled - u.used.Throttled
	u.last, u.used = at, used

	n := time.Duration(cores)
	for i := range u.cores[:cores] {
		c := &u.cores[i]
		c.user += user / n
		c.system += system / n
		c.idle += max(0, passed-(user+system)/n)
	}
	// The kernel's load is an average of how many run or wait to. Of a group it
	// counts those that ran, and those that its limit kept from running.
	busy := float64(wanted) / float64(passed)
	for i, over := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute} {
		kept := math.Exp(-float64(passed) / float64(over))
		u.load[i] = u.load[i]*kept + busy*(1-kept)
	}
	u.running = max(1, int(math.Round(busy)))
}

// total is all that the cores did, those too that the sandbox has no more.
func (u *usage) total() (t core) {
	for _, c := range u.cores {
		t.user += c.user
		t.system += c.system
		t.idle += c.idle
	}
	return t
}
