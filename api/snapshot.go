package api

import "time"

// SnapshotState is where a snapshot is in its life.
type SnapshotState string

// The states of a snapshot.
const (
	SnapshotPending      SnapshotState = "pending"
	SnapshotBuilding     SnapshotState = "building"
	SnapshotPulling      SnapshotState = "pulling"
	SnapshotSnapshotting SnapshotState = "snapshotting"
	SnapshotActive       SnapshotState = "active"
	SnapshotInactive     SnapshotState = "inactive"
	SnapshotError        SnapshotState = "error"
	SnapshotBuildFailed  SnapshotState = "build_failed"
	SnapshotRemoving     SnapshotState = "removing"
)

// Snapshot is a template of sandboxes (SnapshotDto).
type Snapshot struct {
	ID              string        `json:"id" format:"uuid"`
	OrganizationID  string        `json:"organizationId,omitempty"`
	General         bool          `json:"general" doc:"Usable by every organization"`
	Name            string        `json:"name"`
	ImageName       string        `json:"imageName,omitempty"`
	State           SnapshotState `json:"state" enum:"pending,building,pulling,snapshotting,active,inactive,error,build_failed,removing"`
	Size            *float64      `json:"size" doc:"GiB, unpacked"`
	Entrypoint      []string      `json:"entrypoint"`
	CPU             int           `json:"cpu" doc:"Cores"`
	GPU             int           `json:"gpu"`
	Memory          int           `json:"mem" doc:"GiB"`
	Disk            int           `json:"disk" doc:"GiB"`
	ErrorReason     *string       `json:"errorReason"`
	CreatedAt       time.Time     `json:"createdAt"`
	UpdatedAt       time.Time     `json:"updatedAt"`
	LastUsedAt      *time.Time    `json:"lastUsedAt"`
	RegionIDs       []string      `json:"regionIds,omitempty"`
	Ref             string        `json:"ref,omitempty" doc:"The image, pinned to its digest"`
	SourceSandboxID *string       `json:"sourceSandboxId"`
	SandboxClass    string        `json:"sandboxClass,omitempty" example:"container"`
	BuildInfo       *BuildInfo    `json:"buildInfo,omitempty"`
	// Revision and Update are beyond the published API.
	Revision string          `json:"revision" doc:"Moves when the snapshot gets new content"`
	Update   *SnapshotUpdate `json:"update,omitempty" doc:"The new content that is being made, or could not be; the snapshot serves what it has"`
}

// SnapshotUpdate is the next content of a snapshot.
type SnapshotUpdate struct {
	ID          string        `json:"id" doc:"The snapshot's revision, once it is made"`
	State       SnapshotState `json:"state" enum:"pending,building,pulling,error,build_failed"`
	ErrorReason *string       `json:"errorReason" doc:"Why it could not be made"`
	ImageName   string        `json:"imageName,omitempty"`
	BuildInfo   *BuildInfo    `json:"buildInfo,omitempty"`
	CreatedAt   time.Time     `json:"createdAt"`
}

// BuildInfo is what an image was built of.
type BuildInfo struct {
	DockerfileContent string    `json:"dockerfileContent"`
	ContextHashes     []string  `json:"contextHashes" nullable:"false"`
	CreatedAt         time.Time `json:"createdAt"`
	UpdatedAt         time.Time `json:"updatedAt"`
	SnapshotRef       string    `json:"snapshotRef" doc:"The same for the same build"`
}

// CreateSnapshot asks for a snapshot.
type CreateSnapshot struct {
	Name         string           `json:"name" example:"my-snapshot"`
	ImageName    string           `json:"imageName,omitempty" example:"python:3.12-slim" doc:"With a tag or digest; latest, lts and stable are refused"`
	Entrypoint   []string         `json:"entrypoint,omitempty" doc:"Default: the image's, else sleep infinity" nullable:"true"`
	CPU          *int             `json:"cpu,omitempty" doc:"Cores, default 1"`
	GPU          *int             `json:"gpu,omitempty" doc:"Not supported: 0"`
	GPUType      []string         `json:"gpuType,omitempty" nullable:"true" doc:"Not supported: empty"`
	Memory       *int             `json:"memory,omitempty" doc:"GiB, default 1"`
	Disk         *int             `json:"disk,omitempty" doc:"GiB, default 3"`
	RegionID     string           `json:"regionId,omitempty"`
	BuildInfo    *CreateBuildInfo `json:"buildInfo,omitempty"`
	SandboxClass string           `json:"sandboxClass,omitempty"`
	General      bool             `json:"general,omitempty" doc:"For every organization; administrators only"`
	Replace      bool             `json:"replace,omitempty" doc:"Update the snapshot of that name, if there is one"`
}

// UpdateSnapshot changes a snapshot: with an image or a Dockerfile it gets new
// content, made beside what it has. What is left out stays.
type UpdateSnapshot struct {
	Name       string           `json:"name,omitempty" doc:"The snapshot's own, if given"`
	ImageName  string           `json:"imageName,omitempty" example:"python:3.13-slim"`
	Entrypoint []string         `json:"entrypoint,omitzero" required:"false" doc:"Empty is the image's own" nullable:"true"`
	CPU        *int             `json:"cpu,omitempty" doc:"Cores"`
	Memory     *int             `json:"memory,omitempty" doc:"GiB"`
	Disk       *int             `json:"disk,omitempty" doc:"GiB"`
	RegionID   string           `json:"regionId,omitempty"`
	BuildInfo  *CreateBuildInfo `json:"buildInfo,omitempty"`
}

// CreateBuildInfo says what to build an image of.
type CreateBuildInfo struct {
	DockerfileContent string   `json:"dockerfileContent"`
	ContextHashes     []string `json:"contextHashes,omitempty" nullable:"true"`
}

// PaginatedSnapshots is one page of a list.
type PaginatedSnapshots struct {
	Items      []Snapshot `json:"items" nullable:"false"`
	Total      int        `json:"total"`
	Page       int        `json:"page"`
	TotalPages int        `json:"totalPages"`
}
