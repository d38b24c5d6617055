package account

import (
	"fmt"
	"slices"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/fault"
)

// Administrative are the permissions that reach beyond the key's organization.
// Only keys of an administrator have them, whatever the database says.
var Administrative = []api.Permission{api.ReadMetrics, api.ManageServer}

// withSandboxes are those that a key with api.WriteSandboxes has unless its
// creation says otherwise: clients of the published API cannot ask for them.
// Migration 0013 did the same for the keys of earlier versions.
var withSandboxes = []api.Permission{api.UseToolbox, api.ReadEnv, api.UsePreviews}

// AllPermissions are those that a key of such a user may have.
func AllPermissions(admin bool) []api.Permission {
	return effective(slices.Concat(api.Permissions, api.AdditionalPermissions), admin)
}

// effective are those of the permissions that count for a user.
func effective(permissions []api.Permission, admin bool) []api.Permission {
	return slices.DeleteFunc(slices.Clone(permissions), func(p api.Permission) bool {
		return !admin && slices.Contains(Administrative, p)
	})
}

// Can reports whether the principal's key has the permission.
func (p Principal) Can(permission api.Permission) bool {
	return slices.Contains(p.Permissions, permission)
}

// Need checks that the principal's key has all the permissions. Errors: fault of
// kind Forbidden that names the first that it lacks.
func (p Principal) Need(permissions ...api.Permission) error {
	for _, permission := range permissions {
		if !p.Can(permission) {
			return fault.Forbidden("PERMISSION_MISSING", fmt.Sprintf("The API key lacks the permission %s: use a key that has it.", permission))
		}
	}
	return nil
}

// Published are those of the key's permissions that the published API names.
func (k *Key) Published() []api.Permission { return k.among(api.Permissions) }

// Additional are the others.
func (k *Key) Additional() []api.Permission { return k.among(api.AdditionalPermissions) }

func (k *Key) among(list []api.Permission) []api.Permission {
	out := []api.Permission{}
	for _, p := range k.Permissions {
		if slices.Contains(list, p) {
			out = append(out, p)
		}
	}
	return out
}

// granted is what a new key gets of its creator. additional is nil for the
// default. Errors: fault of kind Invalid; Forbidden for what the creator lacks.
func granted(by Principal, published []api.Permission, additional *[]api.Permission) ([]api.Permission, error) {
	all := slices.Clone(published)
	switch {
	case additional != nil:
		all = append(all, *additional...)
	case slices.Contains(published, api.WriteSandboxes):
		for _, p := range withSandboxes {
			if by.Can(p) {
				all = append(all, p)
			}
		}
	}
	for i, p := range all {
		field, list := "permissions", api.Permissions
		if i >= len(published) {
			field, list = "additionalPermissions", api.AdditionalPermissions
		}
		switch {
		case slices.Contains(list, p):
		case slices.Contains(api.AdditionalPermissions, p), slices.Contains(api.Permissions, p):
			return nil, fault.Invalid(field, fmt.Sprintf("permission %q is not one of %s: give it in the other field, permissions or additionalPermissions.", p, field))
		default:
			return nil, fault.Invalid(field, fmt.Sprintf("permission %q does not exist.", p))
		}
		if !by.Can(p) {
			return nil, fault.Forbidden("PERMISSION_MISSING", fmt.Sprintf("You cannot give a key the permission %s, which your own key lacks.", p))
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}
