package server

import (
	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/httpapi"
	"github.com/opendaytona/daytona/internal/metrics"
	"github.com/opendaytona/daytona/internal/sandbox"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// everyone is the organization of events that all may see.
const everyone = ""

// feed turns what the domain tells (snapshot.Events, sandbox.Events) into the
// events of the wire, and keeps the metrics and the doors to the toolboxes up
// to date. Its methods do not block.
type feed struct {
	// publish sends the reduced payload, unless it is nil, to those that may not
	// read all of the other.
	publish func(organizationID, event string, payload, reduced any)
	toolbox string // URL; "" where only a request can tell, and clients keep what they know
	metrics *metrics.Metrics
	doors   *doors
	forget  func(*snapshot.Snapshot) // what was pushed for it
}

// SnapshotCreated is snapshot.Events.
func (f *feed) SnapshotCreated(s *snapshot.Snapshot) {
	f.publish(audience(s), api.EventSnapshotCreated, httpapi.WireSnapshot(s), nil)
}

// SnapshotStateChanged is snapshot.Events.
func (f *feed) SnapshotStateChanged(s *snapshot.Snapshot, old snapshot.State) {
	f.metrics.SnapshotMoved(s, old)
	f.publish(audience(s), api.EventSnapshotState, api.SnapshotStateEvent{
		Snapshot: httpapi.WireSnapshot(s), OldState: api.SnapshotState(old), NewState: api.SnapshotState(s.State),
	}, nil)
}

// SnapshotRemoved is snapshot.Events.
func (f *feed) SnapshotRemoved(s *snapshot.Snapshot) {
	f.forget(s)
	f.publish(audience(s), api.EventSnapshotRemoved, httpapi.WireSnapshot(s), nil)
}

func audience(s *snapshot.Snapshot) string {
	if s.General {
		return everyone
	}
	return s.OrganizationID
}

// SandboxCreated is sandbox.Events.
func (f *feed) SandboxCreated(s *sandbox.Sandbox) {
	whole, reduced := f.wire(s)
	f.publish(s.OrganizationID, api.EventSandboxCreated, whole, reduced)
}

// SandboxStateChanged is sandbox.Events.
func (f *feed) SandboxStateChanged(s *sandbox.Sandbox, old sandbox.State) {
	if s.State == sandbox.StateDestroying || s.State == sandbox.StateDestroyed {
		f.doors.forget(s)
	}
	f.metrics.SandboxMoved(s, old)
	whole, reduced := f.wire(s)
	if s.State == sandbox.StateError || s.State == sandbox.StateBuildFailed {
		// The official SDKs take the reason of a failure from this event alone,
		// and wait no longer when they have seen the other.
		f.publish(s.OrganizationID, api.EventSandboxCreated, whole, reduced)
	}
	e := api.SandboxStateEvent{Sandbox: whole, OldState: api.SandboxState(old), NewState: api.SandboxState(s.State)}
	part := e
	part.Sandbox = reduced
	f.publish(s.OrganizationID, api.EventSandboxState, e, part)
}

// SandboxDesiredStateChanged is sandbox.Events.
func (f *feed) SandboxDesiredStateChanged(s *sandbox.Sandbox, old sandbox.Desired) {
	whole, reduced := f.wire(s)
	e := api.SandboxDesiredStateEvent{Sandbox: whole, OldDesiredState: string(old), NewDesiredState: string(s.Desired)}
	part := e
	part.Sandbox = reduced
	f.publish(s.OrganizationID, api.EventSandboxDesiredState, e, part)
}

// wire is the sandbox for those that may read its environment, and for those
// that may not.
func (f *feed) wire(s *sandbox.Sandbox) (whole, reduced api.Sandbox) {
	whole = httpapi.WireSandbox(s, f.toolbox)
	reduced = whole
	reduced.Env = httpapi.HideEnv(whole.Env)
	return whole, reduced
}
