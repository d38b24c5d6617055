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
	GPU          *int             `json:"gpu,omitempty"`
	Memory       *int             `json:"memory,omitempty" doc:"GiB, default 1"`
	Disk         *int             `json:"disk,omitempty" doc:"GiB, default 3"`
	RegionID     string           `json:"regionId,omitempty"`
	BuildInfo    *CreateBuildInfo `json:"buildInfo,omitempty"`
	SandboxClass string           `json:"sandboxClass,omitempty"`
	General      bool             `json:"general,omitempty" doc:"For every organization; administrators only"`
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
