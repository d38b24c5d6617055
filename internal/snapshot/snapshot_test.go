package snapshot

import (
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/fault"
)

// What may follow what, written as in the specification's words.
func TestStatesFollowEachOtherAsSpecified(t *testing.T) {
	all := []State{StatePending, StateBuilding, StatePulling, StateSnapshotting, StateActive, StateInactive, StateError, StateBuildFailed, StateRemoving}
	allowed := map[string]bool{}
	for _, path := range []string{
		"pending building active", "pending pulling active inactive pending", "building build_failed", "pulling error", "pending error",
		"snapshotting active", "snapshotting error", "active pending",
	} {
		states := strings.Fields(path)
		for i := range len(states) - 1 {
			allowed[states[i]+" "+states[i+1]] = true
		}
	}
	now := time.Unix(1, 0)
	for _, from := range all {
		for _, to := range all {
			s := Snapshot{Name: "x", Content: Content{State: from, ErrorReason: "before"}}
			err := s.enter(to, "why", now)
			if want := allowed[string(from)+" "+string(to)] || to == StateRemoving; want != (err == nil) {
				t.Errorf("%s to %s: %v", from, to, err)
			}
			switch {
			case err != nil && (!fault.Is(err, fault.KindConflict) || s.State != from || s.ErrorReason != "before"):
				t.Errorf("%s to %s was refused by %v and left %+v", from, to, err, s)
			case err == nil && (s.State != to || s.ErrorReason != "why" || !s.UpdatedAt.Equal(now)):
				t.Errorf("%s to %s left %+v", from, to, s)
			}
		}
	}
}

func TestOnlySomeStatesStay(t *testing.T) {
	for _, s := range []State{StateActive, StateInactive, StateError, StateBuildFailed} {
		if !s.Settled() {
			t.Errorf("%s should stay", s)
		}
	}
	for s := range transitions {
		if s != StateActive && s != StateInactive && s.Settled() {
			t.Errorf("%s should go on by itself", s)
		}
	}
}

func TestNamesAreChecked(t *testing.T) {
	for name, good := range map[string]bool{
		"my-snapshot": true, "team/app:1.2": true, "registry.example:5000/team/app": true, "a.b_c-d": true,
		"x@sha256:" + strings.Repeat("a", 64): true, strings.Repeat("n", maxNameLength): true,
		"": false, "with space": false, "/leading": false, "trailing/": false, "a//b": false, "ümlaut": false, "nul\x00": false, "a\n": false,
		".": false, "..": false, "a/..": false, "../a": false, "a/./b": false, "...": true, "a/.b": true, "..a": true,
		"build-" + strings.Repeat("0", 40): false, "build-" + strings.Repeat("0", 39): true,
		"x@sha256:" + strings.Repeat("a", 63): false, strings.Repeat("n", maxNameLength+1): false,
	} {
		err := validateName(name)
		if good != (err == nil) {
			t.Errorf("%q: %v", name, err)
		}
		if err != nil && !fault.Is(err, fault.KindInvalid) {
			t.Errorf("%q: %v is not the caller's mistake", name, err)
		}
	}
}

func TestMissingResourcesTakeTheDefaults(t *testing.T) {
	four := 4
	if got := (CreateParams{}).resources(); got != (Resources{CPU: 1, Memory: 1, Disk: 3}) {
		t.Errorf("%+v", got)
	}
	if got := (CreateParams{Memory: &four}).resources(); got != (Resources{CPU: 1, Memory: 4, Disk: 3}) {
		t.Errorf("%+v", got)
	}
}
