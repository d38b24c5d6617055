package sandbox

import (
	"testing"
	"time"
)

func TestTheClocksStopAndDeleteWhatIsDue(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	for name, c := range map[string]struct {
		s    Sandbox
		want Desired
	}{
		"used a moment ago":         {Sandbox{State: StateStarted, AutoStop: time.Minute, LastActivityAt: *ago(59 * time.Second), AutoDelete: NeverDelete}, ""},
		"unused for its interval":   {Sandbox{State: StateStarted, AutoStop: time.Minute, LastActivityAt: *ago(time.Minute), AutoDelete: NeverDelete}, DesiredStopped},
		"never stops by itself":     {Sandbox{State: StateStarted, AutoStop: 0, LastActivityAt: *ago(time.Hour), AutoDelete: NeverDelete}, ""},
		"stopped, never deleted":    {Sandbox{State: StateStopped, StoppedAt: ago(time.Hour), AutoDelete: NeverDelete}, ""},
		"stopped for its interval":  {Sandbox{State: StateStopped, StoppedAt: ago(time.Hour), AutoDelete: time.Hour}, DesiredDestroyed},
		"stopped a moment ago":      {Sandbox{State: StateStopped, StoppedAt: ago(time.Minute), AutoDelete: time.Hour}, ""},
		"ephemeral":                 {Sandbox{State: StateStopped, StoppedAt: ago(0), AutoDelete: 0}, DesiredDestroyed},
		"its time to live is over":  {Sandbox{State: StateStarted, LastActivityAt: now, DestroyAt: ago(0), AutoDelete: NeverDelete}, DesiredDestroyed},
		"is being deleted already":  {Sandbox{State: StateDestroying, Desired: DesiredDestroyed, DestroyAt: ago(time.Hour)}, ""},
		"stopping, whatever clocks": {Sandbox{State: StateStopping, AutoStop: time.Minute, LastActivityAt: *ago(time.Hour), AutoDelete: time.Minute}, ""},
	} {
		if got := c.s.Due(now); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestHostNamesAreLabels(t *testing.T) {
	for name, want := range map[string]string{"My.Box_1": "my-box-1", "-a-": "a", "---": "id", "box": "box"} {
		if got := hostname(&Sandbox{ID: "id", Name: name}); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
