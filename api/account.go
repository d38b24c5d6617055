package api

import "time"

// Permission is what an API key may do.
type Permission string

// The permissions of the published API.
const (
	WriteRegistries  Permission = "write:registries"
	DeleteRegistries Permission = "delete:registries"
	WriteSnapshots   Permission = "write:snapshots"
	DeleteSnapshots  Permission = "delete:snapshots"
	WriteSandboxes   Permission = "write:sandboxes"
	DeleteSandboxes  Permission = "delete:sandboxes"
	ReadVolumes      Permission = "read:volumes"
	WriteVolumes     Permission = "write:volumes"
	DeleteVolumes    Permission = "delete:volumes"
	WriteRegions     Permission = "write:regions"
	DeleteRegions    Permission = "delete:regions"
	ReadRunners      Permission = "read:runners"
	WriteRunners     Permission = "write:runners"
	DeleteRunners    Permission = "delete:runners"
	ReadAuditLogs    Permission = "read:audit_logs"
	ManageAPIKeys    Permission = "manage:api_keys"
	ManageSecrets    Permission = "manage:secrets"
	ReadLimits       Permission = "read:limits"
	ManageSSO        Permission = "manage:sso"
	ReadBilling      Permission = "read:billing"
	ManageBilling    Permission = "manage:billing"
)

// The permissions that the published API has no names for. Clients may know its
// names only, so these never stand among the others: they have a field of their
// own, AdditionalPermissions.
const (
	UseToolbox   Permission = "use:toolbox"   // files, processes and all else inside a sandbox
	ReadEnv      Permission = "read:env"      // the values of sandboxes' environment variables
	UsePreviews  Permission = "use:previews"  // open ports of private sandboxes to oneself and others
	ReadMetrics  Permission = "read:metrics"  // of the whole server; an administrator's
	ManageServer Permission = "manage:server" // what all organizations share; an administrator's
)

// AdditionalPermissions lists those.
var AdditionalPermissions = []Permission{UseToolbox, ReadEnv, UsePreviews, ReadMetrics, ManageServer}

// Permissions lists the published ones.
var Permissions = []Permission{
	WriteRegistries, DeleteRegistries, WriteSnapshots, DeleteSnapshots, WriteSandboxes, DeleteSandboxes,
	ReadVolumes, WriteVolumes, DeleteVolumes, WriteRegions, DeleteRegions, ReadRunners, WriteRunners,
	DeleteRunners, ReadAuditLogs, ManageAPIKeys, ManageSecrets, ReadLimits, ManageSSO, ReadBilling, ManageBilling,
}

// User is a person.
type User struct {
	ID            string          `json:"id"`
	Name          string          `json:"name"`
	Email         string          `json:"email"`
	EmailVerified bool            `json:"emailVerified"`
	PublicKeys    []UserPublicKey `json:"publicKeys" nullable:"false"`
	CreatedAt     time.Time       `json:"createdAt"`
}

// UserPublicKey is a key that a user signs with.
type UserPublicKey struct {
	Key  string `json:"key"`
	Name string `json:"name"`
}

// APIKey is what is told of a key after its creation (ApiKeyList).
type APIKey struct {
	Name           string       `json:"name"`
	Value          string       `json:"value" doc:"Masked"`
	CreatedAt      time.Time    `json:"createdAt"`
	Permissions    []Permission `json:"permissions" nullable:"false"`
	Additional     []Permission `json:"additionalPermissions" nullable:"false" doc:"Those that the published API has no names for"`
	LastUsedAt     *time.Time   `json:"lastUsedAt"`
	ExpiresAt      *time.Time   `json:"expiresAt"`
	UserID         string       `json:"userId"`
	OrganizationID string       `json:"organizationId,omitempty"`
}

// CreateAPIKey asks for a key.
type CreateAPIKey struct {
	Name        string       `json:"name"`
	Permissions []Permission `json:"permissions" nullable:"false"`
	// Additional is nil for the default.
	Additional *[]Permission `json:"additionalPermissions,omitempty" doc:"Left out: use:toolbox, read:env and use:previews for a key with write:sandboxes, as far as your own key has them"`
	ExpiresAt  *time.Time    `json:"expiresAt,omitempty" nullable:"true"`
}

// APIKeyCreated holds the value of a new key, which is told only here
// (ApiKeyResponse).
type APIKeyCreated struct {
	Name        string       `json:"name"`
	Value       string       `json:"value"`
	CreatedAt   time.Time    `json:"createdAt"`
	Permissions []Permission `json:"permissions" nullable:"false"`
	Additional  []Permission `json:"additionalPermissions" nullable:"false"`
	ExpiresAt   *time.Time   `json:"expiresAt"`
}

// Organization owns sandboxes and snapshots.
type Organization struct {
	ID                                 string            `json:"id"`
	Name                               string            `json:"name"`
	CreatedBy                          string            `json:"createdBy"`
	Personal                           bool              `json:"personal"`
	CreatedAt                          time.Time         `json:"createdAt"`
	UpdatedAt                          time.Time         `json:"updatedAt"`
	Suspended                          bool              `json:"suspended"`
	SuspendedAt                        time.Time         `json:"suspendedAt" doc:"Meaningful only while suspended"`
	SuspensionReason                   string            `json:"suspensionReason"`
	SuspendedUntil                     time.Time         `json:"suspendedUntil" doc:"Meaningful only while suspended"`
	SuspensionCleanupGracePeriodHours  int               `json:"suspensionCleanupGracePeriodHours"`
	MaxCPUPerSandbox                   int               `json:"maxCpuPerSandbox"`
	MaxMemoryPerSandbox                int               `json:"maxMemoryPerSandbox" doc:"GiB"`
	MaxDiskPerSandbox                  int               `json:"maxDiskPerSandbox" doc:"GiB"`
	SecretQuota                        int               `json:"secretQuota"`
	MaxSecretsPerSandbox               int               `json:"maxSecretsPerSandbox"`
	SnapshotDeactivationTimeoutMinutes int               `json:"snapshotDeactivationTimeoutMinutes"`
	DefaultQueueTimeout                *int              `json:"defaultQueueTimeout"`
	SandboxLimitedNetworkEgress        bool              `json:"sandboxLimitedNetworkEgress"`
	PreviewWarningEnabled              bool              `json:"previewWarningEnabled"`
	SSOEnabled                         bool              `json:"ssoEnabled"`
	SCIMEnabled                        bool              `json:"scimEnabled"`
	DefaultRegionID                    string            `json:"defaultRegionId,omitempty"`
	AuthenticatedRateLimit             *int              `json:"authenticatedRateLimit"`
	SandboxCreateRateLimit             *int              `json:"sandboxCreateRateLimit"`
	SandboxLifecycleRateLimit          *int              `json:"sandboxLifecycleRateLimit"`
	ExperimentalConfig                 map[string]string `json:"experimentalConfig" nullable:"false"`
	OtelConfig                         *OtelConfig       `json:"otelConfig"`
	AuthenticatedRateLimitTTL          *int              `json:"authenticatedRateLimitTtlSeconds"`
	SandboxCreateRateLimitTTL          *int              `json:"sandboxCreateRateLimitTtlSeconds"`
	SandboxLifecycleRateLimitTTL       *int              `json:"sandboxLifecycleRateLimitTtlSeconds"`
}

// AdminCreateOrganization asks for an organization.
type AdminCreateOrganization struct {
	Name string `json:"name" doc:"No other's"`
}

// AdminOrganizationCreated is a new organization, and the value of its owner's
// key, which is told only here.
type AdminOrganizationCreated struct {
	Organization Organization `json:"organization"`
	KeyName      string       `json:"keyName"`
	APIKey       string       `json:"apiKey"`
}

// OrganizationSandboxDefaultLimitedNetworkEgress says whether sandboxes that say
// nothing of the network get the server's limited one.
type OrganizationSandboxDefaultLimitedNetworkEgress struct {
	SandboxDefaultLimitedNetworkEgress bool `json:"sandboxDefaultLimitedNetworkEgress"`
}

// OtelConfig says where telemetry goes.
type OtelConfig struct {
	Endpoint string            `json:"endpoint"`
	Headers  map[string]string `json:"headers,omitempty"`
}

// OrganizationUsage is what an organization uses of its quotas
// (OrganizationUsageOverview).
type OrganizationUsage struct {
	RegionUsage          []RegionUsage `json:"regionUsage" nullable:"false"`
	TotalSnapshotQuota   int           `json:"totalSnapshotQuota"`
	CurrentSnapshotUsage int           `json:"currentSnapshotUsage"`
	TotalVolumeQuota     int           `json:"totalVolumeQuota"`
	CurrentVolumeUsage   int           `json:"currentVolumeUsage"`
}

// RegionUsage is the same for the sandboxes of one region (RegionUsageOverview).
type RegionUsage struct {
	RegionID                      string `json:"regionId"`
	SandboxClass                  string `json:"sandboxClass"`
	TotalCPUQuota                 int    `json:"totalCpuQuota"`
	CurrentCPUUsage               int    `json:"currentCpuUsage"`
	TotalMemoryQuota              int    `json:"totalMemoryQuota" doc:"GiB"`
	CurrentMemoryUsage            int    `json:"currentMemoryUsage" doc:"GiB"`
	TotalDiskQuota                int    `json:"totalDiskQuota" doc:"GiB"`
	CurrentDiskUsage              int    `json:"currentDiskUsage" doc:"GiB"`
	TotalGPUQuota                 int    `json:"totalGpuQuota"`
	CurrentGPUUsage               int    `json:"currentGpuUsage"`
	MaxCPUPerSandbox              *int   `json:"maxCpuPerSandbox"`
	MaxMemoryPerSandbox           *int   `json:"maxMemoryPerSandbox"`
	MaxDiskPerSandbox             *int   `json:"maxDiskPerSandbox"`
	MaxDiskPerNonEphemeralSandbox *int   `json:"maxDiskPerNonEphemeralSandbox"`
	MaxCPUPerGPU                  *int   `json:"maxCpuPerGpu"`
	MaxMemoryPerGPU               *int   `json:"maxMemoryPerGpu"`
	MaxDiskPerGPU                 *int   `json:"maxDiskPerGpu"`
}

// Region is a place where sandboxes run.
type Region struct {
	ID             string `json:"id"`
	Name           string `json:"name"`
	OrganizationID string `json:"organizationId,omitempty"`
	RegionType     string `json:"regionType" enum:"shared,dedicated,custom"`
	CreatedAt      string `json:"createdAt"`
	UpdatedAt      string `json:"updatedAt"`
	ProxyURL       string `json:"proxyUrl,omitempty"`
}

// Configuration is what a client may know before it signs in
// (DaytonaConfiguration).
type Configuration struct {
	Version                string         `json:"version"`
	OIDC                   OIDC           `json:"oidc"`
	LinkedAccountsEnabled  bool           `json:"linkedAccountsEnabled"`
	Announcements          map[string]any `json:"announcements" nullable:"false"`
	ProxyTemplateURL       string         `json:"proxyTemplateUrl"`
	ProxyToolboxURL        string         `json:"proxyToolboxUrl"`
	DefaultSnapshot        string         `json:"defaultSnapshot"`
	DashboardURL           string         `json:"dashboardUrl"`
	MaxAutoArchiveInterval int            `json:"maxAutoArchiveInterval" doc:"Minutes"`
	MaintenanceMode        bool           `json:"maintananceMode" doc:"Spelled as published"`
	Environment            string         `json:"environment"`
}

// OIDC names the identity provider; empty when only API keys are used.
type OIDC struct {
	Issuer   string `json:"issuer"`
	ClientID string `json:"clientId"`
	Audience string `json:"audience"`
	Provider string `json:"provider"`
}
