package snapshot

import (
	"context"
	"io"
	"time"

	"github.com/opendaytona/daytona/internal/oci"
)

// Store keeps snapshots. Every method is one transaction; a missing snapshot
// is fault.KindNotFound. Snapshots come with their Next. A function that a method is given may be called again,
// when others have changed the same rows meanwhile.
type Store interface {
	Finder
	Changer
	ImageUses
}

// Finder finds and lists snapshots.
type Finder interface {
	// Snapshot finds by id.
	Snapshot(ctx context.Context, id string) (*Snapshot, error)
	// FindSnapshot finds by id or name what organizationID may see: its own
	// first, then general ones.
	FindSnapshot(ctx context.Context, organizationID, idOrName string) (*Snapshot, error)
	// NamedSnapshots finds by name, each as FindSnapshot does; those that are missing
	// are left out.
	NamedSnapshots(ctx context.Context, organizationID string, names []string) (map[string]*Snapshot, error)
	// FindDefault finds by name, of what organizationID may see, what its
	// sandboxes that name no snapshot are made of: one that has not failed, and
	// a general one first.
	FindDefault(ctx context.Context, organizationID, name string) (*Snapshot, error)
	// BuiltSnapshot finds an active snapshot of that build; of the transient
	// ones only, in any state but removing, with transient.
	BuiltSnapshot(ctx context.Context, ref string, transient bool) (*Snapshot, error)
	// ListSnapshots returns one page and the total of what matches.
	ListSnapshots(ctx context.Context, f Filter) (page []*Snapshot, total int, err error)
	// SnapshotsIn lists those in the given states, of all organizations,
	// transient ones and updates among them.
	SnapshotsIn(ctx context.Context, states ...State) ([]*Snapshot, error)
	// UnusedSnapshots lists those that were neither used nor changed after since,
	// in states that stay: the active ones that are neither general nor transient,
	// or the transient ones.
	UnusedSnapshots(ctx context.Context, since time.Time, transient bool) ([]*Snapshot, error)
}

// Changer adds, changes and deletes them.
type Changer interface {
	// InsertSnapshot adds s if allow, given how many snapshots its
	// organization has, permits it. Errors: allow's; fault.KindConflict when
	// the organization has one of that name that is not being removed, or there
	// is a general one of that name and this is none.
	InsertSnapshot(ctx context.Context, s *Snapshot, allow func(count int) error) error
	// UpdateSnapshot reads the snapshot, lets change edit it and writes it
	// back. Nothing is written when change fails.
	UpdateSnapshot(ctx context.Context, id string, change func(*Snapshot) error) (*Snapshot, error)
	// UpdateReplacement reads the snapshot and its Next (nil when it has none),
	// lets change edit the two, and writes them back along with newer, an
	// update that takes next's place, unless that is nil. Nothing is written
	// when change fails. It returns the snapshot as it is then.
	UpdateReplacement(ctx context.Context, id string, change func(now, next *Snapshot) (newer *Snapshot, err error)) (*Snapshot, error)
	// TouchSnapshot moves LastUsedAt to at.
	TouchSnapshot(ctx context.Context, id string, at time.Time) error
	// DeleteSnapshot forgets it; a missing one is fine.
	DeleteSnapshot(ctx context.Context, id string) error
}

// ImageUses knows the sandboxes of an image.
type ImageUses interface {
	// ImageInUse reports whether the rootfs of a sandbox stands on the image.
	ImageInUse(ctx context.Context, digest string) (bool, error)
}

// Filter selects a page of snapshots. Page counts from 1.
type Filter struct {
	OrganizationID string // its own and the general ones
	Name           string // substring, "" for any
	SourceSandbox  string // id, "" for any
	Page, Limit    int
	Sort           string // one of SortFields, "" for the default order
	Descending     bool
}

// SortFields are what a list can be sorted by, as the API spells them.
var SortFields = []string{"name", "state", "lastUsedAt", "createdAt"}

// Images is the image store of this machine.
type Images interface {
	// ValidateReference tells what is wrong with a reference, in a sentence
	// for people.
	ValidateReference(ref string) error
	// Registry is the host that a reference is pulled from.
	Registry(ref string) string
	// Pull brings an image here, as organizationID may and with its credentials,
	// and holds it for owner. Progress gets lines for people. An error has a
	// Message() string for people.
	Pull(ctx context.Context, organizationID, ref, owner string, progress func(line string)) (*oci.Image, error)
	// Pinned is ref with digest in place of its tag.
	Pinned(ref, digest string) (string, error)
	// Image describes an image that is here. Errors: oci.ErrNotFound.
	Image(ctx context.Context, digest string) (*oci.Image, error)
	// Contents looks into an image that is here. Errors: oci.ErrNotFound.
	Contents(ctx context.Context, digest string) (oci.Contents, error)
	// Hold lets owner hold an image that is here, Release lets go; an image
	// that nobody holds is freed. Release of a stranger is fine.
	Hold(ctx context.Context, owner, digest string) error
	Release(ctx context.Context, owner string) error
	// Owners tells who holds which digest.
	Owners(ctx context.Context) (map[string]string, error)
}

// Captures makes images of sandboxes on this machine.
type Captures interface {
	// Capture copies a sandbox's disk as it is at one moment; a copy of that
	// name that is there stays.
	Capture(ctx context.Context, sandboxID, name string) error
	// Commit makes an image of the base one and what the copy changed of it,
	// and holds it for owner.
	Commit(ctx context.Context, name, base, owner string) (*oci.Image, error)
	// Captures names the copies, Discard frees one; a missing one is fine.
	Captures(ctx context.Context) ([]string, error)
	Discard(ctx context.Context, name string) error
}

// Builder builds images on this machine.
type Builder interface {
	// Build builds an image and holds it for r.Owner. It ends soon after ctx.
	// An error has a Message() string for people.
	Build(ctx context.Context, r BuildRequest) (*oci.Image, error)
	// Versions are those of the archives that an organization has uploaded as
	// contexts, "" of one that is not there: a build takes no other ones.
	Versions(ctx context.Context, organizationID string, contexts []string) ([]string, error)
}

// BuildRequest is one build.
type BuildRequest struct {
	ID             string // of the build
	OrganizationID string // whose contexts and credentials are used
	Owner          string
	Build          Build
	Log            io.Writer
	Place          Place
}

// Place is one of those at which images are built at once. A build begins with
// it, and gives it to others while it only waits for a registry.
type Place interface {
	Leave()
	// Enter waits for a place again; who has one keeps it. Errors: ctx's.
	Enter(ctx context.Context) error
}

// Regions tells which regions there are.
type Regions interface {
	// DefaultRegion is the region of an organization that names none.
	DefaultRegion(ctx context.Context, organizationID string) (string, error)
	// CheckRegion fails with fault.KindNotFound for an unknown one.
	CheckRegion(ctx context.Context, organizationID, regionID string) error
}

// Limits are an organization's limits on snapshots.
type Limits interface {
	// CheckSnapshot fails with a quota fault when a snapshot of these
	// resources is too large, or when count others leave no room for it.
	CheckSnapshot(r Resources) (allow func(count int) error, err error)
	// DeactivateAfter is how long an unused snapshot stays active; 0 is for ever.
	DeactivateAfter() time.Duration
}

// Events is told of each change after it was committed. It must not block.
type Events interface {
	SnapshotCreated(s *Snapshot)
	SnapshotStateChanged(s *Snapshot, old State)
	SnapshotRemoved(s *Snapshot)
}
