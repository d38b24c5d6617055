// Package permission has what an API key may do. Its names are those of the API.
package permission

// Permission is one of them.
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

// The permissions that the published API has no names for.
const (
	UseToolbox   Permission = "use:toolbox"   // files, processes and all else inside a sandbox
	ReadEnv      Permission = "read:env"      // the values of sandboxes' environment variables
	UsePreviews  Permission = "use:previews"  // open ports of private sandboxes to oneself and others
	ReadMetrics  Permission = "read:metrics"  // of the whole server; an administrator's
	ManageServer Permission = "manage:server" // what all organizations share; an administrator's
)

// Additional lists those.
var Additional = []Permission{UseToolbox, ReadEnv, UsePreviews, ReadMetrics, ManageServer}

// Published lists the published ones.
var Published = []Permission{
	WriteRegistries, DeleteRegistries, WriteSnapshots, DeleteSnapshots, WriteSandboxes, DeleteSandboxes,
	ReadVolumes, WriteVolumes, DeleteVolumes, WriteRegions, DeleteRegions, ReadRunners, WriteRunners,
	DeleteRunners, ReadAuditLogs, ManageAPIKeys, ManageSecrets, ReadLimits, ManageSSO, ReadBilling, ManageBilling,
}
