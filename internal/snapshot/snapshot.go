// Package snapshot says what a snapshot is: a template of sandboxes, made of an
// image. Here live its type and state table, its validation, the service that
// takes its commands and the reconciler that makes them true. It names the
// small interfaces it needs (Store, Images, Events); adapters implement them
// and package server wires them. Look next at service.go, then reconcile.go.
package snapshot

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/quota"
)

// Snapshot is a template of sandboxes: a name, and what is behind it now.
type Snapshot struct {
	ID             string // UUID
	OrganizationID string // "" for a general one
	General        bool   // usable by every organization
	Name           string // unique in its organization
	Content

	// Transient is one that was made for a sandbox that brought its own build:
	// not listed, not counted, and removed when it is not used for a day.
	Transient bool

	// Replaces is, for the next content of a snapshot, the id of that snapshot.
	// Like a transient one it is neither listed nor counted, nor found by name;
	// when it is made the two exchange their contents, and it is removed.
	Replaces string

	// Damaged is one whose row cannot be read in full: all that can be done with it
	// is to delete it.
	Damaged bool

	// Next is the update of this snapshot that goes on or has failed; nil for
	// none. The store reads it along, and writes it by UpdateReplacement only.
	Next *Snapshot

	CreatedAt  time.Time
	UpdatedAt  time.Time
	LastUsedAt *time.Time // when a sandbox was last made from it, to the minute
}

// Content is what a snapshot's sandboxes are made from, and how far it is. A
// state is the content's: an update makes the next one beside the present one,
// and then they change places.
type Content struct {
	// Revision names this content: its build, its log, and its hold on its
	// image. A UUID.
	Revision string

	ImageName   string // the reference as asked for
	State       State
	ErrorReason string // why it is in StateError or StateBuildFailed
	RegionIDs   []string
	Resources   Resources
	Build       *Build // how its image is made; nil for one that is pulled

	// SourceSandboxID is the sandbox it was made from, "" for none. Such an image
	// comes from no registry, so it stays here while the snapshot is inactive.
	SourceSandboxID string

	// Entrypoint is what the sandboxes run: as asked for, until the image is
	// here; afterwards never empty.
	Entrypoint      []string
	EntrypointGiven bool // it was asked for, and is not the image's own

	// What the image turned out to be; zero until it was pulled once.
	ImageDigest string
	Size        int64  // bytes, unpacked
	User        string // who runs unless a sandbox asks otherwise
}

// Latest is the revision that was asked for last: the update's where there is
// one.
func (s *Snapshot) Latest() string {
	if s.Next != nil {
		return s.Next.Revision
	}
	return s.Revision
}

// named is the id by which people know it.
func (s *Snapshot) named() string { return cmp.Or(s.Replaces, s.ID) }

// Build is a Dockerfile and what it may copy.
type Build struct {
	Dockerfile string   `json:"dockerfile"`         // its text
	Contexts   []string `json:"contexts"`           // hashes of uploaded archives
	Versions   []string `json:"versions,omitempty"` // of each, which is built of; "" is any
	Ref        string   `json:"ref"`                // the same for the same build of one organization
}

// newBuild names the build by what goes into it. The organization does, because
// what its credentials may pull is its own. The versions do, because not every
// client's hash tells the bytes; of a context that is not there yet nobody knows
// them, so its build is like no other.
func newBuild(organizationID string, p BuildParams, versions []string) *Build {
	h := sha256.New()
	parts := []string{organizationID, p.Dockerfile}
	for i, hash := range p.Contexts {
		parts = append(parts, hash, cmp.Or(versions[i], uuid.NewString()))
	}
	for _, part := range parts {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return &Build{Dockerfile: p.Dockerfile, Contexts: p.Contexts, Versions: versions, Ref: fmt.Sprintf("build-%x", h.Sum(nil)[:20])}
}

// Resources of each sandbox made from a snapshot: cores, and GiB of memory and
// disk.
type Resources = quota.Resources

// DefaultResources are those of a snapshot that asks for none.
var DefaultResources = Resources{CPU: 1, Memory: 1, Disk: 3}

// DefaultEntrypoint keeps a sandbox whose image runs nothing by itself.
var DefaultEntrypoint = []string{"sleep", "infinity"}

// State is where a snapshot is in its life.
type State string

// The states of a snapshot, as the API spells them.
const (
	StatePending      State = "pending"
	StateBuilding     State = "building"
	StatePulling      State = "pulling"
	StateSnapshotting State = "snapshotting"
	StateActive       State = "active"
	StateInactive     State = "inactive"
	StateError        State = "error"
	StateBuildFailed  State = "build_failed"
	StateRemoving     State = "removing"
)

// transitions is the whole state machine: what may follow what. Any state may
// be followed by StateRemoving.
var transitions = map[State][]State{
	StatePending:      {StateBuilding, StatePulling, StateError},
	StateBuilding:     {StateActive, StateBuildFailed},
	StatePulling:      {StateActive, StateError},
	StateSnapshotting: {StateActive, StateError},
	StateActive:       {StateInactive, StatePending}, // pending: its image was lost from this machine
	StateInactive:     {StatePending},
}

// Settled reports whether the state stays until somebody asks for another.
func (s State) Settled() bool {
	switch s {
	case StateActive, StateInactive, StateError, StateBuildFailed:
		return true
	}
	return false
}

// Failed reports whether making the snapshot ended without an image.
func (s State) Failed() bool { return s == StateError || s == StateBuildFailed }

// enter applies one transition; it is the only writer of State and ErrorReason.
func (s *Snapshot) enter(next State, reason string, now time.Time) error {
	if next != StateRemoving && !slices.Contains(transitions[s.State], next) {
		return fault.Conflict("SNAPSHOT_STATE", fmt.Sprintf("Snapshot %q is %s and cannot become %s.", s.Name, s.State, next))
	}
	s.State, s.ErrorReason, s.UpdatedAt = next, reason, now
	return nil
}
