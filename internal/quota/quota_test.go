package quota

import (
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/fault"
)

func TestLimitsHoldUpToTheirValueAndNameWhatIsExceeded(t *testing.T) {
	l := Limits{MaxCPU: 4, MaxMemory: 8, MaxDisk: 10, TotalCPU: 6, TotalMemory: 20, TotalDisk: 40, Snapshots: 2}
	for name, c := range map[string]struct {
		err   error
		names string // what is exceeded; "" for nothing
	}{
		"the largest":          {l.One("sandbox", Resources{4, 8, 10}), ""},
		"too many cores":       {l.One("sandbox", Resources{5, 8, 10}), "a sandbox may have at most 4 cores"},
		"too much memory":      {l.One("snapshot", Resources{4, 9, 10}), "a snapshot may have at most 8 GiB"},
		"too much disk":        {l.One("sandbox", Resources{4, 8, 11}), "disk"},
		"all that is left":     {l.Sandbox(Usage{CPU: 2, Memory: 12, Disk: 30}, Resources{4, 8, 10}), ""},
		"more cores than left": {l.Sandbox(Usage{CPU: 3}, Resources{4, 1, 1}), "CPU quota exceeded: 3 of 6 cores"},
		"more memory":          {l.Sandbox(Usage{Memory: 20}, Resources{1, 1, 1}), "Memory"},
		"more disk":            {l.Sandbox(Usage{Disk: 40}, Resources{1, 1, 1}), "Disk"},
		"the last snapshot":    {l.Snapshot(1), ""},
		"one too many":         {l.Snapshot(2), "2 of 2 snapshots"},
	} {
		if c.names == "" {
			if c.err != nil {
				t.Errorf("%s: %v", name, c.err)
			}
			continue
		}
		if !fault.Is(c.err, fault.KindQuota) || !strings.Contains(c.err.Error(), c.names) {
			t.Errorf("%s: %v, want a quota that names %q", name, c.err, c.names)
		}
	}
}
