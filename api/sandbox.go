package api

// SandboxState is what was last seen of a sandbox.
type SandboxState string

// The states of a sandbox.
const (
	SandboxCreating     SandboxState = "creating"
	SandboxRestoring    SandboxState = "restoring"
	SandboxDestroyed    SandboxState = "destroyed"
	SandboxDestroying   SandboxState = "destroying"
	SandboxStarted      SandboxState = "started"
	SandboxStopped      SandboxState = "stopped"
	SandboxStarting     SandboxState = "starting"
	SandboxStopping     SandboxState = "stopping"
	SandboxError        SandboxState = "error"
	SandboxPulling      SandboxState = "pulling_snapshot"
	SandboxSnapshotting SandboxState = "snapshotting"
	SandboxPendingBuild SandboxState = "pending_build"
	SandboxBuilding     SandboxState = "building_snapshot"
	SandboxBuildFailed  SandboxState = "build_failed"
)

// SandboxSummary is what a list tells of a sandbox (SandboxListItem).
type SandboxSummary struct {
	ID                  string            `json:"id" format:"uuid"`
	OrganizationID      string            `json:"organizationId"`
	Name                string            `json:"name"`
	Target              string            `json:"target" doc:"Region"`
	SandboxClass        string            `json:"sandboxClass,omitempty" example:"container"`
	State               SandboxState      `json:"state,omitempty"`
	DesiredState        string            `json:"desiredState,omitempty"`
	Snapshot            string            `json:"snapshot,omitempty"`
	User                string            `json:"user"`
	ErrorReason         string            `json:"errorReason,omitempty"`
	Recoverable         bool              `json:"recoverable"`
	Public              bool              `json:"public"`
	NetworkBlockAll     bool              `json:"networkBlockAll"`
	NetworkAllowList    string            `json:"networkAllowList,omitempty"`
	DomainAllowList     string            `json:"domainAllowList,omitempty"`
	CPU                 int               `json:"cpu" doc:"Cores"`
	GPU                 int               `json:"gpu"`
	Memory              int               `json:"memory" doc:"GiB"`
	Disk                int               `json:"disk" doc:"GiB"`
	Labels              map[string]string `json:"labels" nullable:"false"`
	BackupState         string            `json:"backupState,omitempty"`
	AutoStopInterval    int               `json:"autoStopInterval" doc:"Minutes, 0 is never"`
	AutoArchiveInterval int               `json:"autoArchiveInterval" doc:"Minutes after stop"`
	AutoDeleteInterval  int               `json:"autoDeleteInterval" doc:"Minutes after stop, 0 is at stop, negative is never"`
	AutoDestroyAt       string            `json:"autoDestroyAt,omitempty"`
	CreatedAt           string            `json:"createdAt,omitempty"`
	UpdatedAt           string            `json:"updatedAt,omitempty"`
	LastActivityAt      string            `json:"lastActivityAt,omitempty"`
	DaemonVersion       string            `json:"daemonVersion,omitempty"`
	ToolboxProxyURL     string            `json:"toolboxProxyUrl"`
	WarmPoolID          string            `json:"warmPoolId,omitempty" doc:"The pool it waits in"`
}

// Sandbox is all there is to tell of one.
type Sandbox struct {
	SandboxSummary
	Env map[string]string `json:"env" nullable:"false"`
	KVM bool              `json:"kvm"`
}

// CreateSandbox asks for a sandbox.
type CreateSandbox struct {
	Name                string            `json:"name,omitempty"`
	Snapshot            string            `json:"snapshot,omitempty" doc:"Name or id; default: the server's default snapshot"`
	User                string            `json:"user,omitempty"`
	Env                 map[string]string `json:"env,omitempty" nullable:"true"`
	Labels              map[string]string `json:"labels,omitempty" nullable:"true"`
	Public              bool              `json:"public,omitempty"`
	NetworkBlockAll     bool              `json:"networkBlockAll,omitempty"`
	NetworkAllowList    string            `json:"networkAllowList,omitempty" doc:"networks, separated by commas"`
	DomainAllowList     string            `json:"domainAllowList,omitempty"`
	Target              string            `json:"target,omitempty" doc:"Region"`
	CPU                 *int              `json:"cpu,omitempty"`
	Memory              *int              `json:"memory,omitempty"`
	Disk                *int              `json:"disk,omitempty"`
	AutoStopInterval    *int              `json:"autoStopInterval,omitempty" doc:"Minutes, default 15"`
	AutoArchiveInterval *int              `json:"autoArchiveInterval,omitempty" doc:"Minutes, default 7 days"`
	AutoDeleteInterval  *int              `json:"autoDeleteInterval,omitempty" doc:"Minutes, default never"`
	TTLMinutes          *int              `json:"ttlMinutes,omitempty"`
	BuildInfo           *CreateBuildInfo  `json:"buildInfo,omitempty"`
	UnsupportedOfSandbox
}

// UnsupportedOfSandbox are the fields of CreateSandbox that are published and not
// supported yet: a request that sets one is refused.
type UnsupportedOfSandbox struct {
	GPU                  *int             `json:"gpu,omitempty" doc:"Not supported: 0"`
	GPUType              []string         `json:"gpuType,omitempty" nullable:"true" doc:"Not supported: empty"`
	Spot                 bool             `json:"spot,omitempty" doc:"Not supported: false"`
	KVM                  bool             `json:"kvm,omitempty" doc:"Not supported: false"`
	AutoPauseInterval    *int             `json:"autoPauseInterval,omitempty" doc:"Not supported: 0"`
	QueueTimeout         *int             `json:"queueTimeout,omitempty" doc:"Not supported: leave it out"`
	Volumes              []SandboxVolume  `json:"volumes,omitempty" nullable:"true" doc:"Not supported: empty"`
	Secrets              []map[string]any `json:"secrets,omitempty" nullable:"true" doc:"Not supported: empty"`
	OutboundProxyURL     string           `json:"outboundProxyUrl,omitempty" doc:"Not supported: empty"`
	OtelEndpointOverride string           `json:"otelEndpointOverride,omitempty" doc:"Not supported: empty"`
	LinkedSandbox        string           `json:"linkedSandbox,omitempty" doc:"Not supported: empty"`
}

// ForkSandbox asks for a copy of a sandbox.
type ForkSandbox struct {
	Name string `json:"name,omitempty" doc:"Default: its id"`
}

// CreateSandboxSnapshot asks for a snapshot of a sandbox as it is.
type CreateSandboxSnapshot struct {
	Name          string `json:"name" example:"my-snapshot"`
	IncludeMemory bool   `json:"includeMemory,omitempty" doc:"Not for sandboxes of class container"`
}

// SandboxVolume mounts a volume.
type SandboxVolume struct {
	VolumeID  string `json:"volumeId"`
	MountPath string `json:"mountPath"`
	Subpath   string `json:"subpath,omitempty"`
}

// ListSandboxesResponse is one page by cursor.
type ListSandboxesResponse struct {
	Items      []SandboxSummary `json:"items" nullable:"false"`
	NextCursor *string          `json:"nextCursor" doc:"null after the last page"`
}

// PaginatedSandboxes is one page by number.
type PaginatedSandboxes struct {
	Items      []Sandbox `json:"items" nullable:"false"`
	Total      int       `json:"total"`
	Page       int       `json:"page"`
	TotalPages int       `json:"totalPages"`
}

// SandboxLabels replaces all labels.
type SandboxLabels struct {
	Labels map[string]string `json:"labels" nullable:"false"`
}

// UpdateLastActivity says that a sandbox is being used.
type UpdateLastActivity struct {
	ActivityType string `json:"activityType,omitempty"`
}

// ResizeSandbox changes what a sandbox has. What is left out stays.
type ResizeSandbox struct {
	CPU    *int `json:"cpu,omitempty" doc:"Cores"`
	Memory *int `json:"memory,omitempty" doc:"GiB"`
	Disk   *int `json:"disk,omitempty" doc:"GiB"`
}

// UpdateSandboxNetworkSettings changes what a sandbox may reach. What is left
// out stays; an allow list ends a block of everything.
type UpdateSandboxNetworkSettings struct {
	NetworkBlockAll  *bool   `json:"networkBlockAll,omitempty"`
	NetworkAllowList *string `json:"networkAllowList,omitempty" doc:"networks, separated by commas; empty is none"`
	DomainAllowList  *string `json:"domainAllowList,omitempty" doc:"Domains, separated by commas; *.example.com is all below it"`
}
