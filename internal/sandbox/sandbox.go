// Package sandbox says what a sandbox is: its type, state table and validation,
// the service that takes its commands, the reconciler that makes the engine do
// what the row says, and the clocks that stop and delete what is not used. It
// names the small interfaces it needs (ports.go); package server wires them.
// Look next at service.go, then reconcile.go.
package sandbox

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/quota"
)

// Sandbox is one isolated place where code runs.
type Sandbox struct {
	ID             string // UUID
	OrganizationID string
	Name           string // unique in its organization
	SnapshotID     string
	Snapshot       string // its name
	ImageDigest    string // what its rootfs stands on; "" until the snapshot is active
	Region         string
	ParentID       string // what it was forked from, "" for nothing
	RootID         string // the first of its line of forks, "" for no fork
	WarmPoolID     string // the pool it waits in, "" for one that is somebody's
	Claimed        bool   // its agent does not know yet what its new owner asked for
	CopyOf         string // whose disk it is still to get a copy of

	State       State
	Desired     Desired
	ErrorReason string
	Recoverable bool // Start may mend what ErrorReason tells

	// Damaged is one whose row cannot be read in full: all that can be done with it
	// is to delete it.
	Damaged bool `json:"-"`

	User       string
	Entrypoint []string
	Env        map[string]string
	EnvLost    bool // it does not open: it was sealed with another key
	Labels     map[string]string
	Public     bool
	Resources  Resources
	Network    Network

	NetworkGeneration Generation
	SizeGeneration    Generation

	AutoStop    time.Duration // without activity; 0 is never
	AutoArchive time.Duration // after stop
	AutoDelete  time.Duration // after stop; 0 is at stop, negative is never
	DestroyAt   *time.Time    // whatever its state

	CreatedAt      time.Time
	UpdatedAt      time.Time
	LastActivityAt time.Time
	StoppedAt      *time.Time // since when it is stopped
	Stops          int        // how often it was; the token of its previews ends with each
	SigningSalt    string     // its signing key is derived from it
}

// Resources are cores, and GiB of memory and disk.
type Resources = quota.Resources

// maxPIDs is what a sandbox may have of processes and threads: enough for
// Kubernetes inside, and little enough that a few of them do not use up the
// machine's ids.
const maxPIDs = 4096

func spec(r Resources) engine.Resources {
	return engine.Resources{CPU: float64(r.CPU), Memory: int64(r.Memory) * gib, Disk: int64(r.Disk) * gib, PIDs: maxPIDs}
}

// Network is what the sandbox may reach.
type Network struct {
	BlockAll bool
	Allow    []netip.Prefix // when this or Domains is not empty, only these
	Domains  []string       // as engine.Network has them

	// The two lists as they were asked for, which is how clients compare them
	// with what they want; "" for lists that nobody wrote, or in an older row.
	AllowAsked   string
	DomainsAsked string
}

// AllowList is what people are told of Allow.
func (n Network) AllowList() string {
	if n.AllowAsked != "" {
		return n.AllowAsked
	}
	texts := make([]string, len(n.Allow))
	for i, p := range n.Allow {
		texts[i] = p.String()
	}
	return strings.Join(texts, ",")
}

// DomainList is what people are told of Domains.
func (n Network) DomainList() string {
	return cmp.Or(n.DomainsAsked, strings.Join(n.Domains, ","))
}

func (n Network) spec() engine.Network {
	return engine.Network{BlockAll: n.BlockAll, Allow: n.Allow, Domains: n.Domains}
}

// Ephemeral reports whether the sandbox goes when it stops.
func (s *Sandbox) Ephemeral() bool { return s.AutoDelete == 0 }

// The intervals of a sandbox that asks for none.
const (
	DefaultAutoStop    = 15 * time.Minute
	DefaultAutoArchive = 7 * 24 * time.Hour
	MaxAutoArchive     = 30 * 24 * time.Hour
	NeverDelete        = -time.Minute
)

// State is what was last seen of a sandbox, as the API spells it.
type State string

// The states of a sandbox.
const (
	StatePendingBuild State = "pending_build"     // its build waits its turn
	StateBuilding     State = "building_snapshot" // it is being built
	StateBuildFailed  State = "build_failed"
	StatePulling      State = "pulling_snapshot"
	StateCreating     State = "creating"
	StateStarting     State = "starting"
	StateStarted      State = "started"
	StateStopping     State = "stopping"
	StateStopped      State = "stopped"
	StateSnapshotting State = "snapshotting" // a snapshot is being made of it; it goes on
	StateDestroying   State = "destroying"
	StateDestroyed    State = "destroyed"
	StateError        State = "error"
)

// Desired is what somebody last asked a sandbox to be.
type Desired string

// What a sandbox can be asked to be.
const (
	DesiredStarted   Desired = "started"
	DesiredStopped   Desired = "stopped"
	DesiredDestroyed Desired = "destroyed"
)

// transitions is the whole state machine: what may follow what. Any state may
// be followed by StateDestroying.
var transitions = map[State][]State{
	StatePendingBuild: {StateBuilding, StateCreating, StateBuildFailed, StateError},
	StateBuilding:     {StateCreating, StateBuildFailed, StateError},
	StatePulling:      {StateCreating, StateError},
	StateCreating:     {StateStarted, StateError},
	StateStarting:     {StateStarted, StateError},
	// Starting also when it was claimed from a pool.
	StateStarted:      {StateStopping, StateStopped, StateSnapshotting, StateStarting, StateError}, // starting: the machine was rebooted; error: it could not be recovered
	StateStopping:     {StateStopped, StateError},
	StateStopped:      {StateStarting, StateSnapshotting, StateError}, // error: its disk is lost
	StateSnapshotting: {StateStarted, StateStopped, StateStarting, StateError},
	StateError:        {StateStarting, StatePulling, StateStopping, StateError}, // error: for another reason
	StateDestroying:   {StateDestroyed},
}

// Settled reports whether the state stays until somebody asks for another.
func (s State) Settled() bool {
	switch s {
	case StateStarted, StateStopped, StateDestroyed, StateError, StateBuildFailed:
		return true
	}
	return false
}

// waiting are the states of a sandbox whose snapshot is not active yet.
var waiting = []State{StatePendingBuild, StateBuilding, StatePulling}

// enter applies one transition; it is the only writer of State, ErrorReason,
// StoppedAt and Stops.
func (s *Sandbox) enter(next State, reason string, now time.Time) error {
	if next != StateDestroying && !slices.Contains(transitions[s.State], next) {
		return fault.Conflict("SANDBOX_STATE", fmt.Sprintf("Sandbox %s is %s and cannot become %s.", s.Name, s.State, next))
	}
	before := s.State
	s.State, s.ErrorReason, s.UpdatedAt = next, reason, now
	s.Recoverable = next == StateError
	switch next {
	case StateStarted:
		s.StoppedAt, s.LastActivityAt, s.CopyOf, s.Claimed = nil, now, "", false
	case StateStopped:
		if before != StateSnapshotting || s.StoppedAt == nil {
			s.StoppedAt = &now
			s.Stops++
		}
	}
	return nil
}

const gib = 1 << 30

// spec is what the engine needs to know.
func (s *Sandbox) spec() engine.Spec {
	return engine.Spec{
		ID:         s.ID,
		From:       s.CopyOf,
		Tenant:     s.OrganizationID,
		Hostname:   hostname(s),
		Image:      s.ImageDigest,
		Entrypoint: s.Entrypoint,
		Env:        s.Env,
		User:       s.User,
		Resources:  spec(s.Resources),
		Network:    s.Network.spec(),
	}
}

// hostname is the sandbox's name as far as a host name can be it (RFC 1123).
func hostname(s *Sandbox) string {
	label := make([]byte, 0, 63)
	for _, c := range []byte(s.Name) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		default:
			c = '-'
		}
		if len(label) < cap(label) && (c != '-' || len(label) > 0) {
			label = append(label, c)
		}
	}
	for len(label) > 0 && label[len(label)-1] == '-' {
		label = label[:len(label)-1]
	}
	if len(label) == 0 {
		return s.ID
	}
	return string(label)
}
