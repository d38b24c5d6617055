package sandbox

import (
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/fault"
)

func TestASandboxInErrorIsRecovered(t *testing.T) {
	w, s, _ := observed(t,
		Sandbox{ID: "start", State: StateError, Desired: DesiredStopped, ErrorReason: "broken", Recoverable: true, ImageDigest: "sha256:x"},
		Sandbox{ID: "skip", State: StateError, Desired: DesiredStopped, ErrorReason: "broken", Recoverable: true, ImageDigest: "sha256:x"},
		Sandbox{ID: "lost", State: StateError, Desired: DesiredStopped, ErrorReason: "its disk is lost", ImageDigest: "sha256:x"},
		Sandbox{ID: "fine", State: StateStopped, Desired: DesiredStopped, ImageDigest: "sha256:x"},
	)
	w.run(t, s)
	for id, says := range map[string]string{"lost": "not in a recoverable state: its disk is lost", "fine": "is stopped, not in error"} {
		for _, skip := range []bool{false, true} {
			if _, err := s.Recover(t.Context(), "org", id, skip); !fault.Is(err, fault.KindInvalid) || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v", id, err)
			}
		}
	}
	for id, want := range map[string]State{"start": StateStarted, "skip": StateStopped} {
		if _, err := s.Recover(t.Context(), "org", id, id == "skip"); err != nil {
			t.Fatal(err)
		}
		eventually(t, id+" is "+string(want), func() bool { return w.row(id).State == want })
		if got := w.row(id); got.ErrorReason != "" || got.Recoverable {
			t.Errorf("%s says %q", id, got.ErrorReason)
		}
	}
	if _, err := s.Recover(t.Context(), "org", "none", false); !fault.Is(err, fault.KindNotFound) {
		t.Errorf("one that is not there: %v", err)
	}
}
