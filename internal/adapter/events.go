package adapter

import (
	"log/slog"
	"time"

	"k8s.io/utils/clock"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/access"
	"github.com/opendaytona/daytona/internal/defaultimage"
	"github.com/opendaytona/daytona/internal/httpapi"
	"github.com/opendaytona/daytona/internal/metrics"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// everyone is the organization of events that all may see.
const everyone = ""

// Events turns what the domain reports (snapshot.Events, sandbox.Events) into the
// events of the wire, and passes it on to the others that keep up with it. No
// method blocks on a client.
type Events struct {
	// Publish sends the reduced payload, unless it is nil, to those that may not
	// read all of the other.
	Publish         func(organizationID, event string, payload, reduced any)
	ToolboxURL      string // "" where only a request can tell, and clients keep what they know
	Metrics         *metrics.Metrics
	Toolboxes       *access.Cache
	DefaultSnapshot defaultimage.Moved
	Pushed          interface {
		Forget(organizationID, image, manifestDigest string, now time.Time) error
	}
	Clock clock.PassiveClock
	Log   *slog.Logger
}

// SnapshotCreated is snapshot.Events.
func (f *Events) SnapshotCreated(s *snapshot.Snapshot) {
	f.Publish(audience(s), api.EventSnapshotCreated, httpapi.WireSnapshot(s), nil)
}

// SnapshotStateChanged is snapshot.Events.
func (f *Events) SnapshotStateChanged(s *snapshot.Snapshot, old snapshot.State) {
	f.Metrics.SnapshotMoved(s, old)
	f.DefaultSnapshot.SnapshotMoved(s.Name)
	f.Publish(audience(s), api.EventSnapshotState, api.SnapshotStateEvent{
		Snapshot: httpapi.WireSnapshot(s), OldState: api.SnapshotState(old), NewState: api.SnapshotState(s.State),
	}, nil)
}

// SnapshotRemoved is snapshot.Events.
func (f *Events) SnapshotRemoved(s *snapshot.Snapshot) {
	// What was pushed for it may go.
	if err := f.Pushed.Forget(s.OrganizationID, s.ImageName, s.ImageDigest, f.Clock.Now()); err != nil {
		f.Log.Error("let go of a pushed image", "snapshot", s.Name, "image", s.ImageName, "err", err)
	}
	f.Publish(audience(s), api.EventSnapshotRemoved, httpapi.WireSnapshot(s), nil)
}

func audience(s *snapshot.Snapshot) string {
	if s.General {
		return everyone
	}
	return s.OrganizationID
}

// SandboxCreated is sandbox.Events.
func (f *Events) SandboxCreated(s *sandbox.Sandbox) {
	whole, reduced := f.wire(s)
	f.Publish(s.OrganizationID, api.EventSandboxCreated, whole, reduced)
}

// SandboxStateChanged is sandbox.Events.
func (f *Events) SandboxStateChanged(s *sandbox.Sandbox, old sandbox.State) {
	if s.State == sandbox.StateDestroying || s.State == sandbox.StateDestroyed {
		f.Toolboxes.Forget(s.OrganizationID, s.ID, s.Name)
	}
	f.Metrics.SandboxMoved(s, old)
	whole, reduced := f.wire(s)
	if s.State == sandbox.StateError || s.State == sandbox.StateBuildFailed {
		// The official SDKs take the reason of a failure from this event alone,
		// and wait no longer when they have seen the other.
		f.Publish(s.OrganizationID, api.EventSandboxCreated, whole, reduced)
	}
	e := api.SandboxStateEvent{Sandbox: whole, OldState: api.SandboxState(old), NewState: api.SandboxState(s.State)}
	part := e
	part.Sandbox = reduced
	f.Publish(s.OrganizationID, api.EventSandboxState, e, part)
}

// SandboxDesiredStateChanged is sandbox.Events.
func (f *Events) SandboxDesiredStateChanged(s *sandbox.Sandbox, old sandbox.Desired) {
	whole, reduced := f.wire(s)
	e := api.SandboxDesiredStateEvent{Sandbox: whole, OldDesiredState: string(old), NewDesiredState: string(s.Desired)}
	part := e
	part.Sandbox = reduced
	f.Publish(s.OrganizationID, api.EventSandboxDesiredState, e, part)
}

// wire is the sandbox for those that may read its environment, and for those
// that may not.
func (f *Events) wire(s *sandbox.Sandbox) (whole, reduced api.Sandbox) {
	whole = httpapi.WireSandbox(s, f.ToolboxURL)
	reduced = whole
	reduced.Env = httpapi.HideEnv(whole.Env)
	return whole, reduced
}
