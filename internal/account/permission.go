package account

import (
	"fmt"
	"slices"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/permission"
)

// Administrative are the permissions that reach beyond the key's organization.
// Only keys of an administrator have them, whatever the database says.
var Administrative = []permission.Permission{permission.ReadMetrics, permission.ManageServer}

// withSandboxes are those that a key with permission.WriteSandboxes has unless its
// creation says otherwise: clients of the published API cannot ask for them.
// Migration 0013 did the same for the keys of earlier versions.
var withSandboxes = []permission.Permission{permission.UseToolbox, permission.ReadEnv, permission.UsePreviews}

// AllPermissions are those that a key of such a user may have.
func AllPermissions(admin bool) []permission.Permission {
	return effective(slices.Concat(permission.Published, permission.Additional), admin)
}

// effective are those of the permissions that count for a user.
func effective(permissions []permission.Permission, admin bool) []permission.Permission {
	return slices.DeleteFunc(slices.Clone(permissions), func(p permission.Permission) bool {
		return !admin && slices.Contains(Administrative, p)
	})
}

// Can reports whether the principal's key has the permission.
func (p Principal) Can(permission permission.Permission) bool {
	return slices.Contains(p.Permissions, permission)
}

// Need checks that the principal's key has all the permissions. Errors: fault of
// kind Forbidden that names the first that it lacks.
func (p Principal) Need(permissions ...permission.Permission) error {
	for _, permission := range permissions {
		if !p.Can(permission) {
			return fault.Forbidden("PERMISSION_MISSING", fmt.Sprintf("The API key lacks the permission %s: use a key that has it.", permission))
		}
	}
	return nil
}

// Published are those of the key's permissions that the published API names.
func (k *Key) Published() []permission.Permission { return k.among(permission.Published) }

// Additional are the others.
func (k *Key) Additional() []permission.Permission { return k.among(permission.Additional) }

func (k *Key) among(list []permission.Permission) []permission.Permission {
	out := []permission.Permission{}
	for _, p := range k.Permissions {
		if slices.Contains(list, p) {
			out = append(out, p)
		}
	}
	return out
}

// granted is what a new key gets of its creator. additional is nil for the
// default. Errors: fault of kind Invalid; Forbidden for what the creator lacks.
func granted(by Principal, published []permission.Permission, additional *[]permission.Permission) ([]permission.Permission, error) {
	all := slices.Clone(published)
	switch {
	case additional != nil:
		all = append(all, *additional...)
	case slices.Contains(published, permission.WriteSandboxes):
		for _, p := range withSandboxes {
			if by.Can(p) {
				all = append(all, p)
			}
		}
	}
	for i, p := range all {
		field, list := "permissions", permission.Published
		if i >= len(published) {
			field, list = "additionalPermissions", permission.Additional
		}
		switch {
		case slices.Contains(list, p):
		case slices.Contains(permission.Additional, p), slices.Contains(permission.Published, p):
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
