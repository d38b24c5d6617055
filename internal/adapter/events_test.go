package adapter

import (
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/access"
	"github.com/opendaytona/daytona/internal/defaultimage"
	"github.com/opendaytona/daytona/internal/metrics"

	"k8s.io/utils/clock"

	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

func TestWhatTheDomainTellsBecomesEventsOfItsOrganization(t *testing.T) {
	var got, forgotten []string
	f := &Events{
		ToolboxURL: "https://d.example/toolbox", Metrics: metrics.New("test", clock.RealClock{}), Toolboxes: access.NewCache(),
		Pushed: forgetting{&forgotten}, Clock: clock.RealClock{}, DefaultSnapshot: defaultimage.NewMoved(), Log: slog.New(slog.DiscardHandler),
		Publish: func(organization, event string, payload, _ any) {
			text, err := json.Marshal(payload)
			if err != nil {
				t.Error(err)
			}
			got = append(got, organization+" "+event+" "+string(text))
		},
	}
	sb := &sandbox.Sandbox{ID: "sb", OrganizationID: "org", State: sandbox.StateStarted, Desired: sandbox.DesiredStarted, CreatedAt: time.Now()}
	own := &snapshot.Snapshot{ID: "sn", OrganizationID: "org", Content: snapshot.Content{ImageName: "hosted/app:1", State: snapshot.StateActive}}
	general := &snapshot.Snapshot{ID: "sn", OrganizationID: "org", General: true, Content: snapshot.Content{State: snapshot.StateError, ErrorReason: "why"}}
	for name, c := range map[string]struct {
		tell     func()
		audience string
		event    string
		contains []string
	}{
		"sandbox created":  {func() { f.SandboxCreated(sb) }, "org", "sandbox.created", []string{`"id":"sb"`, `"toolboxProxyUrl":"https://d.example/toolbox"`}},
		"sandbox moved":    {func() { f.SandboxStateChanged(sb, sandbox.StateCreating) }, "org", "sandbox.state.updated", []string{`"sandbox":{"id":"sb"`, `"oldState":"creating"`, `"newState":"started"`}},
		"sandbox asked":    {func() { f.SandboxDesiredStateChanged(sb, sandbox.DesiredStopped) }, "org", "sandbox.desired-state.updated", []string{`"oldDesiredState":"stopped"`, `"newDesiredState":"started"`}},
		"snapshot created": {func() { f.SnapshotCreated(own) }, "org", "snapshot.created", []string{`"id":"sn"`}},
		"snapshot moved":   {func() { f.SnapshotStateChanged(own, snapshot.StatePulling) }, "org", "snapshot.state.updated", []string{`"snapshot":{"id":"sn"`, `"oldState":"pulling"`, `"newState":"active"`}},
		"snapshot removed": {func() { f.SnapshotRemoved(own) }, "org", "snapshot.removed", []string{`"id":"sn"`}},
		"general one":      {func() { f.SnapshotStateChanged(general, snapshot.StatePulling) }, "", "snapshot.state.updated", []string{`"errorReason":"why"`}},
	} {
		got = nil
		c.tell()
		if len(got) != 1 || !strings.HasPrefix(got[0], c.audience+" "+c.event+" {") {
			t.Errorf("%s: %s", name, got)
			continue
		}
		if i := slices.IndexFunc(c.contains, func(part string) bool { return !strings.Contains(got[0], part) }); i >= 0 {
			t.Errorf("%s: %s lacks %s", name, got[0], c.contains[i])
		}
	}
	for _, state := range []sandbox.State{sandbox.StateError, sandbox.StateBuildFailed} {
		got = nil
		failed := *sb
		failed.State, failed.ErrorReason = state, "why it failed"
		f.SandboxStateChanged(&failed, sandbox.StateCreating)
		if len(got) != 2 || !strings.HasPrefix(got[0], `org sandbox.created {"id":"sb"`) || !strings.HasPrefix(got[1], `org sandbox.state.updated {"sandbox":`) {
			t.Errorf("%s: the reason does not come before the state: %s", state, got)
		} else if !strings.Contains(got[0], `"errorReason":"why it failed"`) || !strings.Contains(got[0], `"kvm":false`) {
			t.Errorf("%s: not the whole sandbox: %s", state, got[0])
		}
	}
	if !slices.Equal(forgotten, []string{"org hosted/app:1"}) {
		t.Errorf("pushed images of %v are forgotten", forgotten)
	}
}

// forgetting notes what is let go of.
type forgetting struct{ images *[]string }

func (f forgetting) Forget(organizationID, image, _ string, _ time.Time) error {
	*f.images = append(*f.images, organizationID+" "+image)
	return nil
}
