package api

// The Socket.IO events.
const (
	EventSandboxCreated      = "sandbox.created"
	EventSandboxState        = "sandbox.state.updated"
	EventSandboxDesiredState = "sandbox.desired-state.updated"
	EventSnapshotCreated     = "snapshot.created"
	EventSnapshotState       = "snapshot.state.updated"
	EventSnapshotRemoved     = "snapshot.removed"
)

// SandboxStateEvent is the payload of EventSandboxState.
type SandboxStateEvent struct {
	Sandbox  Sandbox      `json:"sandbox"`
	OldState SandboxState `json:"oldState"`
	NewState SandboxState `json:"newState"`
}

// SandboxDesiredStateEvent is the payload of EventSandboxDesiredState.
type SandboxDesiredStateEvent struct {
	Sandbox         Sandbox `json:"sandbox"`
	OldDesiredState string  `json:"oldDesiredState"`
	NewDesiredState string  `json:"newDesiredState"`
}

// SnapshotStateEvent is the payload of EventSnapshotState.
type SnapshotStateEvent struct {
	Snapshot Snapshot      `json:"snapshot"`
	OldState SnapshotState `json:"oldState"`
	NewState SnapshotState `json:"newState"`
}
