package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

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
	// PhaseFailed is a sandbox that the engine has not been able to recover after
	// a restart, or to look at; Status.Problem says why. The engine tries again;
	// Start, Stop and Delete do too.
	PhaseFailed Phase = "failed"
)

// Status is one observation of a sandbox.
type Status struct {
	ID        string
	Phase     Phase
	Problem   string    // why the phase is PhaseFailed
	DiskUsed  int64     // bytes written by the sandbox, as far as the pool counts them
	DiskLimit int64     // bytes that it may write; 0 where the pool cannot limit it
	StartedAt time.Time // zero unless it runs
	Booted    bool      // it was started since the machine booted (tells a reboot from an exit)
	Exit      *Exit     // how its last run ended, when that was not by Stop, SetAside or a reboot; nil while it runs
}

// Exit is the end of a sandbox whose first process ended by itself or was killed
// from inside, by the kernel or by the engine. Its zero value is an end whose
// cause nobody saw.
type Exit struct {
	OOMKilled  bool // the kernel killed for the memory limit
	PoolFailed bool // the engine ended it, because the disks could not be written any more
}

// Event says that the status of a sandbox may have changed, or with Resync that
// the status of any sandbox may have.
type Event struct {
	ID     string
	Resync bool
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
