// Package engine says what a place where sandboxes run can do. It holds the
// interface and its plain types, and imports nothing of the house; engine/local
// implements it on this machine. Callers are the reconcilers of package sandbox
// and the gateway.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// Engine runs sandboxes. Every method may be called again after a crash with
// the same arguments and then finishes what was begun: Create of an existing
// disk, Start of a running sandbox, Stop of a stopped one and Delete of a
// missing one succeed and change nothing. Methods for different sandboxes may
// run at once; calls for one sandbox are serialized by the engine.
type Engine interface {
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
	// everything in it. grace 0 kills at once. The disk stays.
	Stop(ctx context.Context, id string, grace time.Duration) error

	// Delete kills what runs and frees everything the sandbox holds, its disk
	// too.
	Delete(ctx context.Context, id string) error

	// SetNetwork changes what a running sandbox may reach, at once: open
	// connections that no longer pass are cut. One that does not run is fine.
	SetNetwork(ctx context.Context, id string, n Network) error

	// Resize changes the CPU, memory and disk of a sandbox; of one that runs at
	// once. Nothing changes when one is less than what is in use. Errors:
	// ErrNotFound, *TooSmall.
	Resize(ctx context.Context, id string, r Resources) error

	// Inspect tells what is there now. Errors: ErrNotFound.
	Inspect(ctx context.Context, id string) (Status, error)

	// List tells of every sandbox that has a disk or a process here.
	List(ctx context.Context) ([]Status, error)

	// Dial connects to the agent of a running sandbox. Errors: ErrNotRunning.
	Dial(ctx context.Context, id string) (net.Conn, error)

	// Capture keeps a copy of a sandbox's disk as it is at one moment, under a
	// name that no other capture has; one that is there stays. Errors:
	// ErrNotFound, ErrNoSpace.
	Capture(ctx context.Context, id, name string) error

	// Changes writes what the capture has changed of the image that the sandbox
	// stands on, as an uncompressed OCI layer.
	Changes(ctx context.Context, name, image string, layer io.Writer) error

	// Captures names all captures. Discard frees one; a missing one is fine.
	Captures(ctx context.Context) ([]string, error)
	Discard(ctx context.Context, name string) error

	// Note keeps record beside the sandbox's disk, in place of what Create kept
	// there. Errors: ErrNotFound.
	Note(ctx context.Context, id string, record []byte) error

	// Exits delivers the end of every sandbox that ended without Stop or
	// Delete, once per end, from the moment the engine is opened. The reader
	// must keep up; the channel is closed by Close.
	Exits() <-chan Exit

	// Close lets go of the engine without touching any sandbox.
	Close() error
}

// Spec is all the engine needs to know to run one sandbox.
type Spec struct {
	ID         string            // UUID, the key of every method
	From       string            // id of the sandbox whose disk Create copies; "" is an empty one
	Tenant     string            // whose it is: no tenant takes all of what starts need
	Hostname   string            // host name inside
	Image      string            // digest of an image of the image store, held by the caller's lease
	Entrypoint []string          // full command line, supervised by the agent; its end does not end the sandbox
	Env        map[string]string // wins over the image's ENV
	User       string            // user name or uid, optionally ":group"; "" is root
	Resources  Resources
	Network    Network
	Record     []byte // kept beside the disk, for whoever finds it when no row tells of it
}

// Disk names a disk: a sandbox's by its id, or a capture by its name.
type Disk struct {
	ID      string
	Capture bool
}

// Custodian is an engine that can put disks aside which nobody knows, until
// somebody does or decides that they may go. A disk that is aside is none of
// the other methods' business, and nothing runs on it.
type Custodian interface {
	// SetAside ends what runs on the disk, within grace in an orderly way, and
	// puts it aside. One that is aside already is fine. Errors: ErrNotFound.
	SetAside(ctx context.Context, d Disk, grace time.Duration) error
	// BringBack undoes it. Errors: ErrNotFound.
	BringBack(ctx context.Context, d Disk) error
	// DeleteAside removes a disk that is aside; a missing one is fine.
	DeleteAside(ctx context.Context, d Disk) error
	// Aside names all of them.
	Aside(ctx context.Context) ([]Disk, error)
	// Record is what Create and Note kept of a disk, wherever it is; nil for
	// nothing.
	Record(ctx context.Context, d Disk) ([]byte, error)
}

// Resources are hard limits. A zero CPU, Memory or PIDs means no limit; Disk
// must be given.
type Resources struct {
	CPU    float64 // cores
	Memory int64   // bytes
	Disk   int64   // bytes the sandbox may write; the shared image does not count
	PIDs   int64   // processes and threads
}

// Network is what a sandbox may reach. Other sandboxes, the host and
// link-local addresses are never reachable.
type Network struct {
	BlockAll bool           // nothing outside the sandbox
	Allow    []netip.Prefix // when this or Domains is not empty, only these and name servers
	Domains  []string       // "example.com", or "*.example.com" for all below it, at the addresses that their names have
}

// Phase is what the engine sees of a sandbox.
type Phase string

// The phases of a sandbox on an engine.
const (
	PhaseStopped Phase = "stopped" // it has a disk and no process
	PhaseRunning Phase = "running" // its first process runs
	PhaseFailed  Phase = "failed"  // the engine could not recover it: Problem says why
)

// Status is one observation of a sandbox.
type Status struct {
	ID        string
	Phase     Phase
	DiskUsed  int64     // bytes written by the sandbox, as far as the pool counts them
	DiskLimit int64     // bytes that it may write; 0 where the pool cannot limit it
	StartedAt time.Time // zero when stopped
	Booted    bool      // it was started since the machine booted (tells a reboot from an exit)

	PoolFailed bool // it was ended because the disks could not be written any more

	Problem string // of PhaseFailed; the engine tries again
	Exit    *Exit  // how it ended, when that was not by Stop; until its next Start
}

// Event says that the status of a sandbox may be another one, or with Resync
// that this may be so for any sandbox, as at the beginning of a watch.
type Event struct {
	ID     string
	Resync bool
}

// Exit tells that a sandbox's first process ended by itself or was killed from
// inside or by the kernel.
type Exit struct {
	ID         string
	OOMKilled  bool // the kernel killed for the memory limit
	PoolFailed bool // the engine ended it, because the disks could not be written any more
}

// TooSmall says that a size is below what the sandbox uses now.
type TooSmall struct {
	Resource string // "memory" or "disk"
	Used     int64  // bytes
}

func (e *TooSmall) Error() string {
	return fmt.Sprintf("%s is too small: %d bytes are in use", e.Resource, e.Used)
}

// BadFile says that a file of the sandbox is not what its start needs.
type BadFile struct{ Path, Reason string }

func (e *BadFile) Error() string { return e.Path + " " + e.Reason }

// Errors of an Engine, to be matched by errors.Is.
var (
	ErrNotFound     = errors.New("sandbox is not on this engine")
	ErrNotRunning   = errors.New("sandbox is not running")
	ErrImageMissing = errors.New("image is not on this machine")
	ErrNoSpace      = errors.New("no space left in the disk pool")
	ErrPoolFailed   = errors.New("the disk pool has failed and is being brought back")
	ErrNoSlot       = errors.New("no network slot left")
	ErrStartTimeout = errors.New("the start was not over within the time limit")
)
