// Package engine is the interface of a place where sandboxes run: small
// interfaces for those who need a part of it, and their plain types.
// engine/local implements it on this machine, enginetest in memory for tests;
// its conformance suite says by example what every engine does. Callers are the
// reconcilers of packages sandbox and snapshot, the gateway and the builder.
package engine

import (
	"context"
	"io"
	"net"
	"net/netip"
	"time"
)

// Engine is a place where sandboxes run, as package server opens it. Services
// name the parts they need.
//
// Every method may be called again after a crash with the same arguments and
// then finishes what was begun. Methods for different sandboxes may run at once;
// calls for one sandbox are serialized by the engine. A wait ends with its ctx.
type Engine interface {
	Lifecycle
	Networks
	Capturer
	Observer
	Dialer
	Custodian

	// Health reports whether sandboxes can run here now. Errors: ErrPoolFailed.
	Health(ctx context.Context) error
	// CheckReach fails for an address that no sandbox may reach, and which
	// nobody may send this server to either.
	CheckReach(to netip.Addr) error
	// Close releases the engine without touching any sandbox.
	Close() error
}

// Host is an engine on the server's own machine. Builds need one, for the
// builder and the steps it runs work on the same filesystems.
type Host interface {
	Engine
	StepRunner
	BuildDisks() BuildDisks
}

// Lifecycle makes, runs and removes sandboxes. Create of an existing disk, Start
// of a running sandbox, Stop of a stopped one and Delete of a missing one succeed
// and change nothing.
type Lifecycle interface {
	// Create makes the sandbox's disk: an empty one, or with spec.From a copy of
	// another sandbox's as it is at one moment, which a running sandbox does not
	// notice but by standing still for some milliseconds. When Start has returned,
	// the disk would be there after a loss of power. Errors: ErrNoSpace,
	// ErrImageMissing, ErrNotFound when there is no disk to copy.
	Create(ctx context.Context, spec Spec) error

	// Start runs the sandbox on its disk and returns once its first process
	// runs and Dial works (a request sent at once waits in the socket's
	// backlog). Errors: ErrNotFound when there is no disk, ErrImageMissing,
	// ErrNoSpace, ErrNoSlot, ErrStartTimeout, *BadFile.
	Start(ctx context.Context, spec Spec) error

	// Stop asks the sandbox to end, waits for grace at most and then kills
	// everything in it. A grace of 0 kills at once, also while another Stop
	// waits. The disk stays.
	Stop(ctx context.Context, id string, grace time.Duration) error

	// Delete kills what runs and frees everything the sandbox holds, its disk
	// too.
	Delete(ctx context.Context, id string) error

	// Resize changes the CPU, memory and disk of a sandbox; of one that runs at
	// once. Nothing changes when one is less than what is in use. Errors:
	// ErrNotFound, ErrNoSpace, *TooSmall.
	Resize(ctx context.Context, id string, r Resources) error

	// SetRecord replaces the record that Create kept beside the disk. Errors:
	// ErrNotFound.
	SetRecord(ctx context.Context, id string, record []byte) error
}

// Networks changes what sandboxes may reach.
type Networks interface {
	// SetNetwork changes what a running sandbox may reach, at once: open
	// connections that no longer pass are cut. For a sandbox that does not run it
	// is a no-op, since Start applies its own.
	SetNetwork(ctx context.Context, id string, n Network) error
}

// Capturer keeps copies of sandboxes' disks to make images of.
type Capturer interface {
	// Capture keeps a copy of a sandbox's disk as it is at one moment, under a
	// name that no other capture has; one that is there stays. Errors:
	// ErrNotFound, ErrNoSpace.
	Capture(ctx context.Context, id, name string) error

	// Changes writes what the capture has changed of the image that the sandbox
	// runs on, as an uncompressed OCI layer. Errors: ErrNotFound,
	// ErrImageMissing.
	Changes(ctx context.Context, name, image string, layer io.Writer) error

	// Captures names all captures.
	Captures(ctx context.Context) ([]string, error)

	// Discard deletes a capture. Discarding a missing one is a no-op.
	Discard(ctx context.Context, name string) error
}

// Observer shows what is there now.
type Observer interface {
	// Inspect returns the status of one sandbox. Errors: ErrNotFound.
	Inspect(ctx context.Context, id string) (Status, error)

	// List returns the status of every sandbox that has a disk or a process
	// here. One whose disk cannot be looked at is listed without what it takes.
	List(ctx context.Context) ([]Status, error)

	// Watch reports sandboxes whose status has changed other than by a method of
	// this engine, until ctx or the engine ends, which closes the channel. It
	// begins with a Resync. The engine never waits for a reader: events that were
	// not read yet are kept once for each sandbox, so a slow reader misses no
	// sandbox, only the states between.
	Watch(ctx context.Context) <-chan Event
}

// Dialer connects to sandboxes.
type Dialer interface {
	// Dial connects to the agent of a running sandbox. Errors: ErrNotRunning.
	Dial(ctx context.Context, id string) (net.Conn, error)
}

// Custodian puts disks aside that no row knows, until somebody claims or purges
// them. The other methods do not see a disk that is aside, and nothing runs on it.
type Custodian interface {
	// SetAside ends what runs on the disk, within grace in an orderly way, and
	// puts it aside. For one that is aside already it is a no-op. Errors:
	// ErrNotFound.
	SetAside(ctx context.Context, d Disk, grace time.Duration) error
	// Restore undoes SetAside. Errors: ErrNotFound.
	Restore(ctx context.Context, d Disk) error
	// DeleteAside removes a disk that is aside. Removing a missing one is a no-op.
	DeleteAside(ctx context.Context, d Disk) error
	// Aside names all of them.
	Aside(ctx context.Context) ([]Disk, error)
	// Record returns what Create and SetRecord kept of a disk, wherever it is;
	// nil for nothing.
	Record(ctx context.Context, d Disk) ([]byte, error)
}
