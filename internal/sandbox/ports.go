package sandbox

import (
	"context"
	"time"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/quota"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// Store keeps sandboxes. Every method is one transaction; a missing sandbox is
// fault.KindNotFound. A function that a method is given may be called again, when
// others have changed the same rows meanwhile.
type Store interface {
	Inserter
	Finder
	Changer
	WorkLister
	Pools
	Lineage
}

// Inserter adds sandboxes.
type Inserter interface {
	// InsertSandbox adds s if allow, given what its organization uses now,
	// permits it, and if the snapshot it names is still there and, when s has
	// an image, still active. Errors: allow's; fault.KindConflict when the name is
	// taken; ErrSnapshotMoved.
	InsertSandbox(ctx context.Context, s *Sandbox, allow func(Usage) error) error
	// InsertFork is the same for a fork, which needs its parent to be there and
	// no snapshot. Errors: allow's; fault.KindConflict when the name is taken or
	// the parent is going.
	InsertFork(ctx context.Context, s *Sandbox, allow func(Usage) error) error
	// AdoptSandbox adds s, whatever its snapshot and its organization's limits.
	// Errors: fault.KindConflict when the name is taken.
	AdoptSandbox(ctx context.Context, s *Sandbox) error
	// ClaimSandbox lets change make a started sandbox that waits in a pool of
	// want's organization somebody's, if it has want's snapshot, image, region,
	// resources and user; the oldest for which change does not return ErrUnlike,
	// nil when there is none. Errors: change's;
	// fault.KindConflict when the name is taken.
	ClaimSandbox(ctx context.Context, want *Sandbox, change func(*Sandbox) error) (*Sandbox, error)
}

// Finder finds and lists them.
type Finder interface {
	// Sandbox finds by id.
	Sandbox(ctx context.Context, id string) (*Sandbox, error)
	// FindSandbox finds by id or name among the organization's, but for those
	// that wait in a pool.
	FindSandbox(ctx context.Context, organizationID, idOrName string) (*Sandbox, error)
	// ListSandboxes returns one page; next is "" after the last one.
	ListSandboxes(ctx context.Context, f Filter) (page []*Sandbox, next string, err error)
	// PageSandboxes returns the page of that number and the total.
	PageSandboxes(ctx context.Context, f Filter, page int) (items []*Sandbox, total int, err error)
	// AllSandboxes lists those of all organizations.
	AllSandboxes(ctx context.Context) ([]*Sandbox, error)
	// SandboxesOfSnapshot lists those in the states that were made from it.
	SandboxesOfSnapshot(ctx context.Context, snapshotID string, states ...State) ([]*Sandbox, error)
}

// Changer changes and deletes them.
type Changer interface {
	// UpdateSandbox reads the sandbox, lets change edit it and writes it back.
	// Nothing is written when change fails.
	UpdateSandbox(ctx context.Context, id string, change func(*Sandbox) error) (*Sandbox, error)
	// ResizeSandbox is the same, and change is told what the organization's
	// other sandboxes take.
	ResizeSandbox(ctx context.Context, id string, change func(sb *Sandbox, others Usage) error) (*Sandbox, error)
	// TouchSandboxes moves LastActivityAt of each id forward to its time.
	TouchSandboxes(ctx context.Context, at map[string]time.Time) error
	// DueSandboxes lists those that a clock wants to stop or delete at now.
	DueSandboxes(ctx context.Context, now time.Time) ([]*Sandbox, error)
	// DeleteSandbox forgets it, but for Kin; a missing one is fine.
	DeleteSandbox(ctx context.Context, id string) error
}

// WorkLister tells which sandboxes there is something to do for.
type WorkLister interface {
	// UnsettledSandboxes lists those whose state does not stay, StartedSandboxes
	// those that should run, and UnappliedSandboxes those of which a generation is
	// wanted that was not applied.
	UnsettledSandboxes(ctx context.Context) ([]Work, error)
	StartedSandboxes(ctx context.Context) ([]Work, error)
	UnappliedSandboxes(ctx context.Context) ([]Work, error)
}

// Pools keeps warm pools.
type Pools interface {
	// InsertWarmPool adds a pool. Errors: fault.KindConflict when there is one
	// of that snapshot and region.
	InsertWarmPool(ctx context.Context, p *WarmPool) error
	// WarmPool finds by id.
	WarmPool(ctx context.Context, id string) (*WarmPool, error)
	// WarmPools lists the organization's, or with "" all.
	WarmPools(ctx context.Context, organizationID string) ([]*WarmPool, error)
	// UpdateWarmPool reads the pool, lets change edit it and writes it back.
	UpdateWarmPool(ctx context.Context, id string, change func(*WarmPool)) (*WarmPool, error)
	// DeleteWarmPool forgets it; a missing one is fine.
	DeleteWarmPool(ctx context.Context, id string) error
	// ReadyInPools counts what waits started in each pool of the organization.
	ReadyInPools(ctx context.Context, organizationID string) (map[string]int, error)
	// WarmSandboxes lists what waits in a pool, the oldest first.
	WarmSandboxes(ctx context.Context, poolID string) ([]*Sandbox, error)
}

// Lineage remembers what was forked from what.
type Lineage interface {
	// Kin finds by id, also one that is gone as long as one of its line of forks
	// is there.
	Kin(ctx context.Context, organizationID, id string) (*Sandbox, error)
	// Forks lists the forks of a sandbox, with destroyed also those that
	// go and those that Kin would find gone.
	Forks(ctx context.Context, organizationID, id string, destroyed bool) ([]*Sandbox, error)
}

// Engine is where sandboxes run.
type Engine interface {
	engine.Lifecycle
	engine.Networks
	engine.Observer
}

// Work names a sandbox for which there may be something to do.
type Work struct {
	ID, OrganizationID string
	Network, Size      bool // a generation of it is wanted that was not applied
}

// Usage is what an organization's sandboxes take.
type Usage = quota.Usage

// Filter selects sandboxes. Zero fields select everything.
type Filter struct {
	OrganizationID string
	IDPrefix       string
	NamePrefix     string // without regard to case
	Labels         map[string]string
	States         []State
	Snapshots      []string // names or ids
	Regions        []string
	CPU            Range
	Memory         Range
	Disk           Range
	Warm           bool // also those that wait in a pool
	Public         *bool
	Recoverable    *bool
	Created        TimeRange
	Event          TimeRange
	Destroy        TimeRange

	Sort       SortField
	Descending bool
	Cursor     string // as returned by the page before; "" for the first
	Limit      int
}

// Range bounds a number; nil is open. Both ends are included.
type Range struct{ Min, Max *float64 }

// TimeRange bounds a time; nil is open.
type TimeRange struct{ After, Before *time.Time }

// SortField is what a list is sorted by, as the API spells it.
type SortField string

// The fields to sort by.
const (
	SortName         SortField = "name"
	SortCPU          SortField = "cpu"
	SortMemory       SortField = "memoryGib"
	SortDisk         SortField = "diskGib"
	SortLastActivity SortField = "lastActivityAt"
	SortCreated      SortField = "createdAt"
)

// Snapshots is what a sandbox needs of the snapshot service.
type Snapshots interface {
	Get(ctx context.Context, organizationID, idOrName string) (*snapshot.Snapshot, error)
	// Named finds by name, each as Get does; those that are missing are left out.
	Named(ctx context.Context, organizationID string, names []string) (map[string]*snapshot.Snapshot, error)
	Default(ctx context.Context, organizationID, name string) (*snapshot.Snapshot, error)
	Activate(ctx context.Context, organizationID, idOrName string) (*snapshot.Snapshot, error)
	Used(ctx context.Context, snap *snapshot.Snapshot) error
	// CheckUser fails with fault.KindInvalid when the image of an active one has
	// no such user[:group].
	CheckUser(ctx context.Context, snap *snapshot.Snapshot, user string) error
	FreeImage(digest string)
	ForBuild(ctx context.Context, organizationID, regionID string, b snapshot.BuildParams) (*snapshot.Snapshot, error)
	Take(ctx context.Context, organizationID string, p snapshot.TakeParams) (*snapshot.Snapshot, error)
	Taking(ctx context.Context, sandboxID string) (bool, error)
	Delete(ctx context.Context, organizationID, idOrName string, admin bool) error
	OnMoved(f func(*snapshot.Snapshot))
}

// Limits are an organization's limits on sandboxes.
type Limits interface {
	// CheckSandbox fails with a quota fault when one sandbox of these resources
	// is too large; allow then judges the sum.
	CheckSandbox(r Resources) (allow func(Usage) error, err error)
	// LimitedEgress tells whether sandboxes that say nothing of the network get
	// Config.LimitedEgress.
	LimitedEgress(ctx context.Context, organizationID string) (bool, error)
}

// Agents are the first processes of the sandboxes.
type Agents interface {
	// Configure tells the agent of a running sandbox its host name and the
	// variables of the processes it starts from now on.
	Configure(ctx context.Context, id, hostname string, env map[string]string) error
}

// Sealer encrypts the variables of sandboxes beside their disks, bound to a place.
type Sealer interface {
	Seal(plain string, place ...string) string
	Open(sealed string, place ...string) (string, error)
}

// Regions tells which regions there are.
type Regions interface {
	DefaultRegion(ctx context.Context, organizationID string) (string, error)
	// CheckRegion fails with fault.KindNotFound for an unknown one.
	CheckRegion(ctx context.Context, organizationID, regionID string) error
}

// Events is told of each change after it was committed. It must not block.
type Events interface {
	SandboxCreated(s *Sandbox)
	SandboxStateChanged(s *Sandbox, old State)
	SandboxDesiredStateChanged(s *Sandbox, old Desired)
}
